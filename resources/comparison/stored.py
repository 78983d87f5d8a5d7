"""Comparing two stored prompt versions on the newest rows that both were evaluated on."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session
from upath import UPath

from domain.dataset import Split
from domain.errors import InputError, NotFoundError
from resources.comparison.comparison import Comparison, Figures, Side, count
from resources.database.repositories import aliases, dataset_versions, evaluations, gate_decisions, prompt_versions
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.stored_examples import read_examples

BY_WORTH = (str(Split.TEST), str(Split.DEV))


def compare_stored(
    database: Database, root: UPath, task: str, before: str, after: str, split: str | None = None
) -> Comparison:
    """Compare two versions of a task; without a `split`, on test where both were shown it, else on dev.

    Where they share no evaluation, the texts are compared all the same and a note says so.

    Raises:
        NotFoundError: no such version.
        InputError: a reference is ambiguous, or the split is none.
    """
    if split is not None and split not in BY_WORTH:
        raise InputError(f"{split!r} is no split to compare on", field="split", mend="use test or dev.")
    with database.session(read_only=True) as session:
        records = [prompt_versions.get(session, task, reference) for reference in (before, after)]
        held = aliases.list_aliases(session, task)
        names = [tuple(one.alias for one in held if one.prompt_version_id == record.id) for record in records]
        first, second = (Side(record, own) for record, own in zip(records, names, strict=True))
        shared = _shared(session, task, records, split)
        if shared is None:
            where = f"the {split} split" if split else "any split"
            note = f"The two were not evaluated on the same rows of {where} by the same evaluator."
            return Comparison(task, first, second, notes=(note,))
        dataset = dataset_versions.find(session, task, shared[0].dataset_version_id)
        decision = _decision(session, task, records, shared[0].dataset_version_id)
    figures, notes = _figures(root, shared)
    before_side, after_side = (replace(side, evaluation=one) for side, one in zip((first, second), shared, strict=True))
    return Comparison(task, before_side, after_side, dataset, shared[0].split, figures, decision, notes)


def _shared(
    session: Session, task: str, records: list[PromptVersionRecord], split: str | None
) -> tuple[EvaluationRecord, EvaluationRecord] | None:
    """The newest pair by the same evaluator on the same rows and draw of answers, the more telling split first."""
    ours, theirs = (evaluations.list_evaluations(session, task, prompt_version_id=record.id) for record in records)
    for wanted in (split,) if split else BY_WORTH:
        known = {one.comparable: one for one in reversed(theirs) if one.split == wanted}
        for one in ours:
            other = known.get(one.comparable)
            if one.split == wanted and other is not None:
                return one, other
    return None


def _decision(
    session: Session, task: str, records: list[PromptVersionRecord], dataset_version_id: str
) -> GateDecisionRecord | None:
    """The newest decision about these two, whichever of them was in production then."""
    pair = {record.id for record in records}
    found = [
        decision
        for record in records
        for decision in gate_decisions.list_gate_decisions(session, task, candidate_id=record.id)
        if decision.dataset_version_id == dataset_version_id and {record.id, decision.production_id} == pair
    ]
    return max(found, key=lambda decision: decision.created_at, default=None)


def _figures(root: UPath, shared: tuple[EvaluationRecord, EvaluationRecord]) -> tuple[Figures | None, tuple[str, ...]]:
    try:
        before, after = (read_examples(root, record) for record in shared)
        return count(before, after), ()
    except NotFoundError as error:
        return None, (str(error),)
