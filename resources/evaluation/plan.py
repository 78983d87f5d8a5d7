"""What a task's next look at its test split can show, from what is stored."""

from __future__ import annotations

from statistics import stdev

from sqlalchemy.orm import Session
from upath import UPath

from domain.dataset import DatasetVersion, Split
from domain.errors import NotFoundError
from domain.gate_plan import ASSUMED, GatePlan, Spread, plan_gate
from domain.task import Task
from resources.database.repositories import aliases, evaluations, gate_decisions, prompt_versions
from resources.database.repositories.evaluations import EvaluationRecord
from resources.evaluation.promote import PRODUCTION
from resources.evaluation.stored_scores import read_scores


def plan_next_look(session: Session, root: UPath, task: Task, dataset: DatasetVersion) -> GatePlan:
    """The next look at `dataset`'s test split; how far prompts differ is taken from dev, never from test.

    Raises:
        InputError: the test split has no row.
    """
    look = gate_decisions.looks(session, task.name) + 1
    return plan_gate(task.gate, dataset.split_rows.get(Split.TEST, 0), look, _spread(session, root, task.name))


def _spread(session: Session, root: UPath, task: str) -> Spread:
    """As production and the newest other version differed on dev; an assumption where none was seen there."""
    pair = _newest_pair(session, task)
    if pair is None:
        return ASSUMED
    try:
        ours, theirs = (read_scores(root, record) for record in pair)
    except NotFoundError:
        return ASSUMED
    differences = [ours[row] - theirs[row] for row in ours.keys() & theirs.keys()]
    numbers = [prompt_versions.find(session, task, record.prompt_version_id) for record in pair]
    source = "as {} and {} did on dev".format(*(f"v{one.version}" if one else "a version" for one in numbers))
    if len(differences) < 2:
        return ASSUMED
    if {*ours.values(), *theirs.values()} <= {0.0, 1.0}:
        return Spread(sum(one != 0 for one in differences) / len(differences), None, source)
    return Spread(None, stdev(differences), source)


def _newest_pair(session: Session, task: str) -> tuple[EvaluationRecord, EvaluationRecord] | None:
    production = aliases.find(session, task, PRODUCTION)
    if production is None:
        return None
    on_dev = evaluations.list_evaluations(session, task, split=str(Split.DEV))
    ours = [one for one in on_dev if one.prompt_version_id == production.prompt_version_id]
    for other in on_dev:
        mine = next((one for one in ours if one.comparable == other.comparable), None)
        if mine is not None and other.prompt_version_id != mine.prompt_version_id:
            return mine, other
    return None
