"""Starting what a task declares, when its schedule says so: once per tick, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from domain.errors import ConflictError, InputError, NotFoundError
from domain.experiment.declared import DeclaredExperiment
from domain.experiment.reach import refuse_undecidable
from domain.experiment.spec import Experiment
from domain.identity import short_id
from domain.pricing import nano_to_usd, usd_to_nano
from domain.task import Task
from resources.database.repositories import call_counts, experiments, prompt_versions
from resources.database.session import Database
from resources.experiments.lifecycle import start
from resources.experiments.started import Started

BY_SCHEDULE = "schedule"
LATELY = timedelta(days=7)
LEAST_CALLS, MOST_CALLS = 50, 500

SetCap = Callable[[str, Decimal], None]


def start_scheduled(database: Database, task: Task, due_at: datetime, now: datetime, set_cap: SetCap) -> Started:
    """Start the experiment that `task` declares, for the tick due at `due_at`.

    Its name follows from the tick, so that a process that died after the start and asks again finds it started. The cap
    is set first: an experiment never runs without the one it declares.

    Args:
        set_cap: sets the cap in USD of a budget scope.

    Raises:
        InputError: its versions are the same, `max_units` or `budget_usd` can decide nothing, or its buckets are taken.
        NotFoundError: a version or alias it names does not exist.
        ConflictError: another experiment of the task runs.
        StateUnavailableError, DatabaseUnavailableError: it may be tried again.
    """
    declared = _declared(task)
    with database.session(read_only=True) as session:
        known = experiments.find(session, declared.name_at(task.name, due_at))
        if known is not None and known.started_by == BY_SCHEDULE and known.task == task.name:
            return Started.of(known)
        experiment = _next(session, task, due_at)
        refuse_start(session, experiment, now)
    for scope, cap in experiment.caps().items():
        set_cap(scope, cap)
    return start(database, experiment, started_by=BY_SCHEDULE, now=now)[0]


def why_not(database: Database, task: Task, at: datetime, now: datetime) -> str | None:
    """What the start due at `at` would be refused for if it came now; None where nothing stands in its way.

    Raises:
        DatabaseUnavailableError: the database cannot be read.
    """
    try:
        with database.session(read_only=True) as session:
            refuse_start(session, _next(session, task, at), now)
    except (InputError, NotFoundError, ConflictError) as error:
        return str(error)
    return None


def refuse_start(session: Session, experiment: Experiment, now: datetime) -> None:
    """Return only if the experiment has something to compare, can be decided, and nothing of its task is compared yet.

    Raises:
        InputError, NotFoundError, ConflictError: as `start_scheduled`.
    """
    for other in experiments.list_experiments(session, state="running", task=experiment.task):
        raise ConflictError(
            f"experiment {other.name!r} of task {other.task!r} still runs, since {other.started_at:%Y-%m-%d}",
            mend="the next time on the schedule tries again; `promptory experiment stop` ends it by hand.",
        )
    _refuse_same(session, experiment)
    refuse_undecidable(experiment)
    _refuse_small_budget(session, experiment, now)


def _refuse_same(session: Session, experiment: Experiment) -> None:
    versions: dict[str, str] = {}
    for variant in experiment.variants:
        version = prompt_versions.get(session, experiment.task, variant.prompt)
        if version.id in versions:
            raise InputError(
                f"{versions[version.id]} and {variant.prompt} of task {experiment.task!r} are the same prompt version, "
                f"v{version.version} ({short_id(version.id)})",
                field="experiment.variants",
                mend="point an alias elsewhere: promptory prompt promote "
                f"{experiment.task} VERSION --alias {variant.prompt} --reason ….",
            )
        versions[version.id] = variant.prompt


def _refuse_small_budget(session: Session, experiment: Experiment, now: datetime) -> None:
    """A budget that runs out leaves units without an answer: better no experiment than one that cannot be decided."""
    if experiment.budget_usd is None:
        return
    control = prompt_versions.get(session, experiment.task, experiment.control.prompt)
    known, mean = call_counts.mean_cost_nano_usd(
        session, experiment.task, control.id, since=now - LATELY, most=MOST_CALLS
    )
    answers = experiment.min_units * len(experiment.variants)
    wanted = answers * mean * len(control.prompt.steps)
    if known < LEAST_CALLS or wanted <= usd_to_nano(experiment.budget_usd):
        return
    raise InputError(
        f"budget_usd is ${experiment.budget_usd}, and min_units asks for {answers:,} answers, which cost about "
        f"${nano_to_usd(round(wanted)):,.2f} at what {experiment.control.prompt} costs lately",
        field="experiment.budget_usd",
        mend="raise budget_usd, or lower min_units.",
    )


def _next(session: Session, task: Task, due_at: datetime) -> Experiment:
    """What the start due at `due_at` makes, with its share of the α that all of the task's starts by schedule share."""
    so_far = experiments.list_experiments(session, task=task.name)
    number = sum(one.started_by == BY_SCHEDULE for one in so_far) + 1
    return _declared(task).started_at(task.name, due_at, number)


def _declared(task: Task) -> DeclaredExperiment:
    if task.experiment is None:
        raise InputError(
            f"task {task.name!r} declares no experiment", field="experiment", mend="add a section `experiment`."
        )
    return task.experiment
