"""Sensor: retries that Dagster noted and then lost sight of."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType
from dagster._core.execution.backfill import BulkActionStatus  # public only as words in the UI
from dagster._core.storage.tags import BACKFILL_ID_TAG, WILL_RETRY_TAG  # by which Dagster itself knows them

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
        "When it looks at a backfill after a run is marked as failed and before it is marked as one that is to be "
        "started again, it takes the backfill for ended, and starts none of its runs again. This sensor opens such "
        "backfills again, and lets the daemon read such failures once more."
    ),
)
def lost_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Open what was ended too early, and put the daemon's cursor back before the failures; no run starts twice."""
    overdue = overdue_retries(context.instance, datetime.now(UTC))
    if not overdue:
        return dg.SkipReason("Every run that is to be started again was.")
    for backfill_id in reopen_backfills(context.instance, overdue):
        context.log.info(
            f"Backfill {backfill_id} is open again: it was ended while a run of it was to be started again."
        )
    waiting = {run.run_id for run in overdue}
    if put_back(context.instance, waiting):
        return dg.SkipReason(f"{len(waiting)} runs wait for their retry; Dagster's daemon reads of them once more.")
    context.log.warning(f"Dagster has lost sight of these runs; start them again by hand: {', '.join(sorted(waiting))}")
    return dg.SkipReason(f"{len(waiting)} runs wait for a retry, and their failures are not found in the event log.")


def overdue_retries(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    """Runs that failed a while ago and are to be started again, but were not."""
    return [
        record.dagster_run
        for record in waiting_retries(instance, now)
        if now.timestamp() - (record.end_time or now.timestamp()) >= OVERDUE.total_seconds()
    ]


def waiting_retries(instance: dg.DagsterInstance, now: datetime, backfill_id: str | None = None) -> list[dg.RunRecord]:
    """Runs that are to be started again and were not yet; with `backfill_id` those of one backfill."""
    tags = {WILL_RETRY_TAG: "true"} | ({} if backfill_id is None else {BACKFILL_ID_TAG: backfill_id})
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags=tags, updated_after=now - LOOK_BACK)
    records = instance.get_run_records(failed, limit=MOST_RUNS)
    return [record for record in records if record.dagster_run.is_complete_and_waiting_to_retry]


def reopen_backfills(instance: dg.DagsterInstance, waiting: Iterable[dg.DagsterRun]) -> list[str]:
    """Open the backfills again that the daemon ended although these runs of theirs wait for a retry; their ids.

    The daemon works out anew what is made and what failed whenever it looks at an open one. A backfill that a person
    has cancelled stays so.
    """
    opened: list[str] = []
    for backfill_id in sorted({run.tags[BACKFILL_ID_TAG] for run in waiting if BACKFILL_ID_TAG in run.tags}):
        stored = instance.get_backfill(backfill_id)
        if stored is None or not stored.is_asset_backfill or stored.status != BulkActionStatus.COMPLETED_FAILED:
            continue
        instance.update_backfill(stored._replace(status=BulkActionStatus.REQUESTED, backfill_end_timestamp=None))
        opened.append(backfill_id)
    return opened


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
