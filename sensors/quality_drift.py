"""Sensor: production prompts that no longer do what they were promoted for."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from upath import UPath

from domain.task import Task
from jobs.reoptimize import reoptimize
from resources.alerts.alert import Alert
from resources.alerts.delivery import deliver, tell
from resources.alerts_resource import AlertsResource
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.drift.watching import Drift, find_drifts
from resources.storage_resource import StorageResource

INTERVAL_S = 600
KEYS_KEPT = 20


@dataclass(frozen=True, slots=True)
class _Told:
    """When a task was last told of, and the newest keys of what was told."""

    at: str = ""
    keys: tuple[str, ...] = ()

    @classmethod
    def load(cls, kept: str | list[str]) -> "_Told":
        """What the cursor kept; an earlier release kept the time alone."""
        at, *keys = [kept] if isinstance(kept, str) else kept
        return cls(at, tuple(keys))


def quality_drift(*, configured: bool) -> dg.SensorDefinition:
    """The sensor; on by default where somebody said where alerts go."""

    @dg.sensor(
        name="quality_drift",
        job=reoptimize,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING if configured else dg.DefaultSensorStatus.STOPPED,
        description=(
            "Looks at what `production_score` found, at the length of production's inputs, and at the words and labels "
            "of its batches. Drift is told to the configured hooks; with `drift: {then: optimize}` in the task file "
            "another search is requested, at most once in `drift.cooldown_days`."
        ),
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        catalog: CatalogResource,
        database: DatabaseResource,
        storage: StorageResource,
        alerts: AlertsResource,
    ) -> dg.SensorResult:
        with database.connect() as opened:
            return tick(context, catalog, opened, storage.path(), alerts, datetime.now(UTC))

    return sensor


def tick(
    context: dg.SensorEvaluationContext,
    catalog: CatalogResource,
    database: Database,
    storage: UPath,
    alerts: AlertsResource,
    now: datetime,
) -> dg.SensorResult:
    """One look at all tasks. The cursor keeps when each was last told of, and of what."""
    told = {task: _Told.load(kept) for task, kept in json.loads(context.cursor or "{}").items()}
    reading = catalog.catalog().read()
    for error in reading.errors:
        context.log.error(str(error))
    requests: list[dg.RunRequest] = []
    for task in (entry.task for entry in reading.entries):
        found = list(find_drifts(database, storage, task, now))  # a rest is from telling: looks go on
        last = told.get(task.name, _Told())
        if last.at and now - datetime.fromisoformat(last.at) < timedelta(days=task.drift.cooldown_days):
            continue
        drift = next((one for one in found if one.key not in last.keys), None)
        if drift is None:
            continue
        requested = task.drift.then == "optimize"
        requests += [_request(task, drift, now)] if requested else []
        _tell(database, alerts, drift, now, requested=requested)
        told[task.name] = _Told(now.isoformat(), (*last.keys, drift.key)[-KEYS_KEPT:])
    deliver(database, alerts.sinks(), now)
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps({task: (one.at, *one.keys) for task, one in told.items()}),
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
