"""What production's checks say now, task by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from upath import UPath

from domain.errors import NotFoundError
from domain.task import Task
from resources.alerts.alert import Alert
from resources.database.repositories import aliases, production_checks, prompt_versions
from resources.database.repositories.content_checks import ContentCheck
from resources.database.repositories.input_checks import InputCheck
from resources.database.repositories.production_checks import ProductionCheck
from resources.database.session import Database
from resources.drift.contents import look_at_contents
from resources.drift.inputs import look_at_inputs
from resources.evaluation.promote import PRODUCTION


@dataclass(frozen=True, slots=True)
class Drift:
    """Production of one task has moved.

    Attributes:
        key: of the check that says so.
    """

    task: str
    kind: Literal["score", "inputs", "answers", "words"]
    key: str
    sentence: str
    facts: Mapping[str, object]

    def alert(self, now: datetime, *, requested: bool) -> Alert:
        """For people."""
        done = "A new optimization run was requested." if requested else "Nothing was started."
        return Alert(
            kind="drift",
            severity="warning",
            title=f"Production of {self.task} has drifted: {self.kind}",
            at=now,
            lines=(self.sentence, done),
            facts={"task": self.task, "drift": self.kind, **self.facts},
        )


def find_drifts(database: Database, root: UPath, task: Task, now: datetime) -> Iterator[Drift]:
    """All that the newest checks of the task's production prompt say has moved; the score comes first.

    Raises:
        DatabaseUnavailableError: the database cannot be read.
    """
    try:
        with database.session(read_only=True) as session:
            alias = aliases.get(session, task.name, PRODUCTION)
            production = prompt_versions.get(session, task.name, PRODUCTION)
            check = production_checks.latest(session, task.name)
    except NotFoundError:
        return
    looked = look_at_inputs(database, production, alias.updated_at, task.drift, now)
    contents = look_at_contents(database, root, production, alias.updated_at, task.drift, now)
    if check is not None and check.prompt_version_id == production.id and check.worse:
        yield _score_drift(check)
    if looked is not None and looked.drifted:
        yield _input_drift(looked)
    tellers = {"answers": _answer_drift, "words": _word_drift}
    for kind, drift_of in tellers.items():
        yield from (drift_of(one) for one in contents if one.kind == kind and one.drifted)


def _score_drift(check: ProductionCheck) -> Drift:
    sentence = (
        f"It scores {check.score:.3f} on {check.rows} dev rows and had {check.reference_score:.3f} at first "
        f"(p = {check.p_value:.2g}, look {check.look})."
    )
    facts = {"score": check.score, "reference_score": check.reference_score, "p_value": check.p_value}
    return Drift(check.task, "score", check.id, sentence, facts)


def _input_drift(looked: InputCheck) -> Drift:
    sentence = (
        f"Inputs are {looked.mean_tokens:.0f} tokens long on average in {looked.rows} calls; {looked.distance:.0%} of "
        f"them lie elsewhere than at first (p = {looked.p_value:.2g}, look {looked.look})."
    )
    facts = {"mean_tokens": looked.mean_tokens, "distance": looked.distance, "p_value": looked.p_value}
    return Drift(looked.task, "inputs", f"{looked.prompt_version_id}:{looked.look}", sentence, facts)


def _answer_drift(looked: ContentCheck) -> Drift:
    sentence = (
        f"Of {looked.rows} answers in batches, {looked.distance:.0%} give another label than at first "
        f"(p = {looked.p_value:.2g}, look {looked.look})."
    )
    facts = {"rows": looked.rows, "distance": looked.distance, "p_value": looked.p_value}
    return Drift(looked.task, "answers", f"{looked.prompt_version_id}:answers:{looked.look}", sentence, facts)


def _word_drift(looked: ContentCheck) -> Drift:
    """Known by dataset version, not by look: it stays until the dataset or the prompt is another, and is told once."""
    dataset = looked.dataset_version_id or ""
    sentence = (
        f"{looked.rows} different inputs in batches are told from those of the dataset by their words: about "
        f"{looked.distance:.0%} are of a kind it has not (p = {looked.p_value:.2g}, look {looked.look}). "
        "Label some of them and add them to it."
    )
    facts = {
        "rows": looked.rows,
        "distance": looked.distance,
        "p_value": looked.p_value,
        "dataset_version_id": dataset,
    }
    return Drift(looked.task, "words", f"{looked.prompt_version_id}:words:{dataset}", sentence, facts)
