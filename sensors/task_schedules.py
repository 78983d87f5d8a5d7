"""Sensor: what task files want started by the clock."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg

from assets.partitions import experiments_partitions, tasks_partitions
from domain.errors import ConflictError, InputError, NotFoundError, PromptoryError
from domain.schedule import DueStart, Seen, due_starts
from domain.task import Task
from jobs.check_production import check_production
from jobs.evaluate import evaluate
from jobs.optimize import optimize
from jobs.report_experiment import report_experiment
from resources.catalog_resource import CatalogResource
from resources.database.repositories import experiments
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.experiments.scheduled import SetCap, start_scheduled
from resources.llm_resource import LLMResource

INTERVAL_S = 30
JOBS = {
    "optimize": optimize.name,
    "evaluate": evaluate.name,
    "check_production": check_production.name,
    "report_experiments": report_experiment.name,
}
ONE_AT_A_TIME = ("optimize", "evaluate", "check_production")
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
        "missed are made up once; a start whose former run still goes on waits for it. Live experiments are started "
        "right here, and a tick says why one was not."
    ),
)
def task_schedules(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource, llm: LLMResource
) -> dg.SensorResult:
    """Request what is due now."""
    return tick(context, catalog, database, _caps_of(llm), datetime.now(UTC))


def tick(
    context: dg.SensorEvaluationContext,
    catalog: CatalogResource,
    database: DatabaseResource,
    set_cap: SetCap,
    now: datetime,
) -> dg.SensorResult:
    """One look at all schedules, at `now`."""
    reading = catalog.catalog().read()
    for error in reading.errors:
        context.log.error(str(error))
    before = load_cursor(context.cursor)
    # The schedule of a file that cannot be read just now is not forgotten.
    after: Cursor = dict(before) if reading.errors else {}
    handling = _Handling(
        instance=context.instance,
        database=database,
        set_cap=set_cap,
        now=now,
        known=set(context.instance.get_dynamic_partitions(str(tasks_partitions.name))),
    )
    for task in (entry.task for entry in reading.entries):
        if task.schedule is None:
            continue
        earlier = before.get(task.name, {})
        after[task.name] = {
            kind: seen if due is None or handling.is_over(task, due) else earlier[kind]
            for kind, seen, due in due_starts(task.name, task.schedule, earlier, now)
        }
    for sentence in handling.told:
        context.log.info(sentence)
    nothing = " ".join(handling.told) or f"{len(after)} tasks with a schedule, nothing due."
    return dg.SensorResult(
        run_requests=handling.requests,
        cursor=dump_cursor(after),
        skip_reason=None if handling.requests else nothing,
    )


@dataclass(slots=True)
class _Handling:
    """What becomes of the starts that are due: runs to request, experiments that start here, sentences to tell."""

    instance: dg.DagsterInstance
    database: DatabaseResource
    set_cap: SetCap
    now: datetime
    known: set[str]
    requests: list[dg.RunRequest] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def is_over(self, task: Task, due: DueStart) -> bool:
        """See to one start that is due; False where it waits for a later tick of the sensor."""
        if task.name not in self.known or _goes_on(self.instance, due):
            return False
        if due.kind == "start_experiment":
            return self._start(task, due)
        self.requests += _requests(self.instance, due, self.database)
        return True

    def _start(self, task: Task, due: DueStart) -> bool:
        """A start that is refused is over: the next time on the schedule tries again. One that failed waits."""
        try:
            with self.database.connect() as opened:
                started = start_scheduled(opened, task, due.at, self.now, self.set_cap)
        except (InputError, NotFoundError, ConflictError) as error:
            self.told.append(f"No experiment of {task.name} was started: {error}")
            return True
        except PromptoryError as error:
            self.told.append(f"The experiment of {task.name} waits: {error}")
            return False
        self.told.append(f"Experiment {started.record.name} was started.")
        return True


def _caps_of(llm: LLMResource) -> SetCap:
    def set_cap(scope: str, usd: Decimal) -> None:
        with llm.client() as client:
            client.set_cap(scope, usd)

    return set_cap


def _requests(instance: dg.DagsterInstance, due: DueStart, database: DatabaseResource) -> Iterator[dg.RunRequest]:
    key = f"{due.task}:{due.kind}:{due.at:%Y-%m-%dT%H:%MZ}"
    if due.kind != "report_experiments":
        yield dg.RunRequest(run_key=key, partition_key=due.task, job_name=JOBS[due.kind])
        return
    with database.connect() as opened:
        running = _experiments_of(opened, due.task)
    for name in running:
        if instance.has_dynamic_partition(str(experiments_partitions.name), name):
            yield dg.RunRequest(run_key=f"{key}:{name}", partition_key=name, job_name=JOBS[due.kind])


def _experiments_of(database: Database, task: str) -> list[str]:
    with database.session(read_only=True) as session:
        return [one.name for one in experiments.list_experiments(session, state="running", task=task)]


def _goes_on(instance: dg.DagsterInstance, due: DueStart) -> bool:
    """Whether a run of this kind is still under way for the task."""
    if due.kind not in ONE_AT_A_TIME:
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
