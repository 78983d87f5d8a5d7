"""Sensor: retries that Dagster noted and then lost sight of."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType
from dagster._core.storage.tags import WILL_RETRY_TAG  # by which Dagster itself knows them

INTERVAL_S = 60
OVERDUE = timedelta(seconds=60)
LOOK_BACK = timedelta(days=1)
MOST_RUNS = 200
MOST_EVENTS = 100_000
"""How far back the failure of a run is looked for, in events of the whole instance."""

CURSOR = f"EVENT_LOG_CONSUMER_CURSOR-{DagsterEventType.RUN_FAILURE.value}"
"""Where Dagster's daemon notes how far it has read the event log for runs that are to be started again."""


@dg.sensor(
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Dagster starts runs that died again. When the daemon reads of a run's failure before the run is marked as "
        "failed, it passes over it for good: the run waits for a retry that never comes, and so does its backfill. "
        "This sensor lets the daemon read such failures once more."
    ),
)
def lost_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Put the daemon's cursor back before the failures it passed over; it starts no run twice."""
    waiting = overdue_retries(context.instance, datetime.now(UTC))
    if not waiting:
        return dg.SkipReason("Every run that is to be started again was.")
    if put_back(context.instance, waiting):
        return dg.SkipReason(f"{len(waiting)} runs wait for their retry; Dagster's daemon reads of them once more.")
    context.log.warning(f"Dagster has lost sight of these runs; start them again by hand: {', '.join(sorted(waiting))}")
    return dg.SkipReason(f"{len(waiting)} runs wait for a retry, and their failures are not found in the event log.")


def overdue_retries(instance: dg.DagsterInstance, now: datetime) -> set[str]:
    """Runs that failed a while ago and are to be started again, but were not."""
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=now - LOOK_BACK
    )
    return {
        record.dagster_run.run_id
        for record in instance.get_run_records(failed, limit=MOST_RUNS)
        if record.dagster_run.is_complete_and_waiting_to_retry
        and now.timestamp() - (record.end_time or now.timestamp()) >= OVERDUE.total_seconds()
    }


def put_back(instance: dg.DagsterInstance, run_ids: set[str]) -> bool:
    """Let the daemon go on reading before the first failure of these runs; whether one was found that it has read.

    The daemon may write its own cursor at this moment and win: the next tick tries again.
    """
    storage = instance.daemon_cursor_storage
    kept = storage.get_cursor_values({CURSOR}).get(CURSOR)
    if kept is None:
        return False
    read_to = int(kept)
    events = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        after_cursor=max(read_to - MOST_EVENTS, -1), dagster_event_type={DagsterEventType.RUN_FAILURE}
    )
    passed_over = [number for number, event in events.items() if event.run_id in run_ids]
    if not passed_over:
        return False
    storage.set_cursor_values({CURSOR: str(min(read_to, min(passed_over) - 1))})
    return True
