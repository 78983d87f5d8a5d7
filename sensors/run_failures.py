"""Sensor: runs that failed, told to people."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from resources.alerts.alert import Alert
from resources.alerts.delivery import deliver, tell
from resources.alerts.run_failures import SINGLY, FailedRun, burst, one_failure
from resources.alerts_resource import AlertsResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource

INTERVAL_S = 30
MOST_AT_ONCE = 1_000
EXPLAINED = 20
WILL_RETRY = "dagster/will_retry"
PARTITION = "dagster/partition"
# Clocks of machines differ: what was read before is read again so far back, and told once all the same.
OVERLAP = timedelta(minutes=2)


def run_failure_alerts(*, configured: bool) -> dg.SensorDefinition:
    """The sensor; on by default where somebody said where alerts go."""

    @dg.sensor(
        name="run_failure_alerts",
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING if configured else dg.DefaultSensorStatus.STOPPED,
        description=(
            "Tells the configured hooks of every run that failed, once; more than "
            f"{SINGLY} at a time in one message. A run that Dagster tries again by itself is told when it has given up."
        ),
    )
    def sensor(
        context: dg.SensorEvaluationContext, alerts: AlertsResource, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        with database.connect() as opened:
            return tick(context, alerts, opened, datetime.now(UTC))

    return sensor


def tick(
    context: dg.SensorEvaluationContext, alerts: AlertsResource, database: Database, now: datetime
) -> dg.SensorResult | dg.SkipReason:
    """One look at the runs that failed since the cursor; what is to be told of them is written down, then sent."""
    if not alerts.sinks():
        return dg.SkipReason("No alert hook is configured; see PROMPTORY_ALERT_LOG, …_WEBHOOK_URL and …_SLACK_URL.")
    # What failed before the sensor was first turned on is no news.
    kept = json.loads(context.cursor) if context.cursor else {"since": now.isoformat(), "began": now.timestamp()}
    since = datetime.fromisoformat(kept["since"])
    records = context.instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since - OVERLAP),
        limit=MOST_AT_ONCE,
        order_by="update_timestamp",
        ascending=True,
    )
    failed = [
        one
        for one in records
        if one.dagster_run.tags.get(WILL_RETRY) != "true" and (one.end_time or kept["began"]) >= kept["began"]
    ]
    _tell_all(context.instance, alerts, database, failed, now)
    deliver(database, alerts.sinks(), now)
    kept["since"] = (_updated(records[-1]) if len(records) == MOST_AT_ONCE else now).isoformat()
    return dg.SensorResult(cursor=json.dumps(kept), skip_reason=f"{len(failed)} failed runs looked at.")


def _tell_all(
    instance: dg.DagsterInstance,
    alerts: AlertsResource,
    database: Database,
    records: Sequence[dg.RunRecord],
    now: datetime,
) -> None:
    by_key = {f"run:{one.dagster_run.run_id}": one for one in records}

    def message(keys: set[str]) -> Alert:
        chosen = [one for key, one in by_key.items() if key in keys]
        told = [_failed(instance, one, explained=number < EXPLAINED) for number, one in enumerate(chosen)]
        return one_failure(told[0], alerts.ui_url) if len(told) == 1 else burst(told, alerts.ui_url)

    sinks = alerts.sinks()
    groups = [[key] for key in by_key] if len(by_key) <= SINGLY else [list(by_key)]
    for group in groups:
        tell(database, sinks, "run_failure", group, message, now)


def _failed(instance: dg.DagsterInstance, record: dg.RunRecord, *, explained: bool) -> FailedRun:
    run = record.dagster_run
    step, reason = _why(instance, run.run_id) if explained else (None, "not looked at")
    return FailedRun(
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get(PARTITION),
        step=step,
        reason=reason,
        failed_at=datetime.fromtimestamp(record.end_time, UTC) if record.end_time else _updated(record),
    )


def _why(instance: dg.DagsterInstance, run_id: str) -> tuple[str | None, str]:
    """The step that failed and the reason its code gave.

    Of other errors only the class is told: their text may quote a row or an answer.
    """
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1).records
    event = found[0].event_log_entry.dagster_event if found else None
    if event is None:
        return None, "the run ended before a step failed; its page says why"
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return event.step_key, data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return event.step_key, (error.cls_name if error is not None else None) or "an error without a name"


def _updated(record: dg.RunRecord) -> datetime:
    stamp = record.update_timestamp
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
