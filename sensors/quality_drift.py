"""Sensor: production prompts that no longer do what they were promoted for."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from domain.task import Task
from jobs.reoptimize import reoptimize
from resources.alerts.alert import Alert
from resources.alerts.delivery import deliver, tell
from resources.alerts_resource import AlertsResource
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.drift.watching import Drift, find_drift

INTERVAL_S = 600


def quality_drift(*, configured: bool) -> dg.SensorDefinition:
    """The sensor; on by default where somebody said where alerts go."""

    @dg.sensor(
        name="quality_drift",
        job=reoptimize,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING if configured else dg.DefaultSensorStatus.STOPPED,
        description=(
            "Looks at what `production_score` found and at the length of production's inputs. Drift is told to the "
            "configured hooks; with `drift: {then: optimize}` in the task file another search is requested, at most "
            "once in `drift.cooldown_days`."
        ),
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        catalog: CatalogResource,
        database: DatabaseResource,
        alerts: AlertsResource,
    ) -> dg.SensorResult:
        with database.connect() as opened:
            return tick(context, catalog, opened, alerts, datetime.now(UTC))

    return sensor


def tick(
    context: dg.SensorEvaluationContext,
    catalog: CatalogResource,
    database: Database,
    alerts: AlertsResource,
    now: datetime,
) -> dg.SensorResult:
    """One look at all tasks. The cursor keeps when each was last told of."""
    told: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    reading = catalog.catalog().read()
    for error in reading.errors:
        context.log.error(str(error))
    requests: list[dg.RunRequest] = []
    for task in (entry.task for entry in reading.entries):
        last = told.get(task.name)
        if last is not None and now - datetime.fromisoformat(last) < timedelta(days=task.drift.cooldown_days):
            continue
        drift = find_drift(database, task, now)
        if drift is None:
            continue
        requested = task.drift.then == "optimize"
        requests += [_request(task, drift, now)] if requested else []
        _tell(database, alerts, drift, now, requested=requested)
        told[task.name] = now.isoformat()
    deliver(database, alerts.sinks(), now)
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps(told),
        skip_reason=None if requests else f"{len(reading.entries)} tasks looked at.",
    )


def _request(task: Task, drift: Drift, now: datetime) -> dg.RunRequest:
    # Another seed and fresh answers: the same search over the same answers would find what it found before.
    number = now.toordinal()
    config = {
        "ops": {
            "optimization_run": {"config": {"seed_offset": number}},
            "evaluation": {"config": {"sample": number}},
        }
    }
    return dg.RunRequest(run_key=f"{task.name}:drift:{drift.key}", partition_key=task.name, run_config=config)


def _tell(database: Database, alerts: AlertsResource, drift: Drift, now: datetime, *, requested: bool) -> None:
    def message(_keys: set[str]) -> Alert:
        return drift.alert(now, requested=requested)

    tell(database, alerts.sinks(), "drift", [f"drift:{drift.task}:{drift.key}"], message, now)
