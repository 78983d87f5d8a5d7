"""Sensor: what task files want started by the clock."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.partitions import experiments_partitions, tasks_partitions
from domain.schedule import DueStart, Seen, due_starts
from jobs.check_production import check_production
from jobs.evaluate import evaluate
from jobs.optimize import optimize
from jobs.report_experiment import report_experiment
from resources.catalog_resource import CatalogResource
from resources.database.repositories import experiments
from resources.database.session import Database
from resources.database_resource import DatabaseResource

INTERVAL_S = 30
JOBS = {
    "optimize": optimize.name,
    "evaluate": evaluate.name,
    "check_production": check_production.name,
    "report_experiments": report_experiment.name,
}
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]

Cursor = dict[str, dict[str, Seen]]


@dg.sensor(
    jobs=[optimize, evaluate, check_production, report_experiment],
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Starts what `schedule` in a task file asks for, at the times and in the time zone it names. Times that were "
        "missed are made up once; a start whose former run still goes on waits for it."
    ),
)
def task_schedules(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource
) -> dg.SensorResult:
    """Request what is due now."""
    return tick(context, catalog, database, datetime.now(UTC))


def tick(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource, now: datetime
) -> dg.SensorResult:
    """One look at all schedules, at `now`."""
    reading = catalog.catalog().read()
    for error in reading.errors:
        context.log.error(str(error))
    before = load_cursor(context.cursor)
    # The schedule of a file that cannot be read just now is not forgotten.
    after: Cursor = dict(before) if reading.errors else {}
    known = set(context.instance.get_dynamic_partitions(str(tasks_partitions.name)))
    requests: list[dg.RunRequest] = []
    for task in (entry.task for entry in reading.entries if entry.task.schedule):
        kept: dict[str, Seen] = {}
        earlier = before.get(task.name, {})
        for kind, seen, due in due_starts(task.name, task.schedule, earlier, now):  # pyright: ignore[reportArgumentType]
            if due is not None and (task.name not in known or _goes_on(context.instance, due)):
                kept[kind] = earlier[kind]
                continue
            kept[kind] = seen
            requests += [] if due is None else list(_requests(context, due, database))
        after[task.name] = kept
    return dg.SensorResult(
        run_requests=requests,
        cursor=dump_cursor(after),
        skip_reason=None if requests else f"{len(after)} tasks with a schedule, nothing due.",
    )


def _requests(
    context: dg.SensorEvaluationContext, due: DueStart, database: DatabaseResource
) -> Iterator[dg.RunRequest]:
    key = f"{due.task}:{due.kind}:{due.at:%Y-%m-%dT%H:%MZ}"
    if due.kind != "report_experiments":
        yield dg.RunRequest(run_key=key, partition_key=due.task, job_name=JOBS[due.kind])
        return
    with database.connect() as opened:
        running = _experiments_of(opened, due.task)
    for name in running:
        if context.instance.has_dynamic_partition(str(experiments_partitions.name), name):
            yield dg.RunRequest(run_key=f"{key}:{name}", partition_key=name, job_name=JOBS[due.kind])


def _experiments_of(database: Database, task: str) -> list[str]:
    with database.session(read_only=True) as session:
        return [one.name for one in experiments.list_experiments(session, state="running") if one.task == task]


def _goes_on(instance: dg.DagsterInstance, due: DueStart) -> bool:
    """Whether a run of this kind is still under way for the task."""
    if due.kind == "report_experiments":
        return False
    same = dg.RunsFilter(job_name=JOBS[due.kind], statuses=UNFINISHED, tags={"dagster/partition": due.task})
    return bool(instance.get_run_ids(same, limit=1))


def load_cursor(text: str | None) -> Cursor:
    """What a cursor kept; nothing where there is none."""
    value = json.loads(text) if text else {}
    return {
        task: {kind: Seen(rule, datetime.fromisoformat(until)) for kind, (rule, until) in kinds.items()}
        for task, kinds in value.items()
    }


def dump_cursor(cursor: Cursor) -> str:
    """The cursor as text."""
    return json.dumps(
        {
            task: {kind: (seen.rule, seen.until.isoformat()) for kind, seen in kinds.items()}
            for task, kinds in cursor.items()
        }
    )
