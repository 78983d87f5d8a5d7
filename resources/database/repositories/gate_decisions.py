"""The gate's decisions, and how often each task's test rows have been looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.errors import ConflictError, NotFoundError
from domain.identity import short_id
from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import AnySelect, as_row, read, select_record
from resources.database.tables import GateDecisionRow


@dataclass(frozen=True, slots=True)
class GateDecisionRecord:
    """One decision.

    Attributes:
        look: 1, 2, … for the task's n-th look at its test rows; 0 where the decision needed none.
        verdict: the gate's word, e.g. `promote` or `reject`.
        comparison: the paired comparison it rests on, as JSON values.
        dataset_version_id: whose test rows; of an experiment's decision, the SHA-256 of its observations.
        kind: `evaluation` or `experiment`.
        experiment: the live experiment that was decided; None for an evaluation.
    """

    id: str
    task: str
    candidate_id: str
    production_id: str
    dataset_version_id: str
    candidate_evaluation_id: str | None
    production_evaluation_id: str | None
    look: int
    verdict: str
    reason: str
    comparison: dict[str, Any]
    created_at: datetime
    kind: str = "evaluation"
    experiment: str | None = None


def record(session: Session, decision: GateDecisionRecord) -> GateDecisionRecord:
    """Store a decision; one with its id that is there already is returned as it was stored.

    Raises:
        ConflictError: another decision of the task has taken this look; count the looks again and decide anew.
    """
    if insert_ignore(session, GateDecisionRow, [as_row(decision)]) == 1:
        return decision
    stored = find(session, decision.id)
    if stored is None:
        raise ConflictError(
            f"Another decision of task {decision.task!r} was look {decision.look} at its test rows.",
            mend="Count the looks again and decide anew.",
        )
    return stored


def find(session: Session, decision_id: str) -> GateDecisionRecord | None:
    """The decision with exactly that id."""
    row = session.execute(_select().where(GateDecisionRow.id == decision_id)).one_or_none()
    return None if row is None else read(GateDecisionRecord, row)


def get(session: Session, decision_id: str) -> GateDecisionRecord:
    """The decision with exactly that id.

    Raises:
        NotFoundError: no such decision.
    """
    found = find(session, decision_id)
    if found is None:
        raise NotFoundError(f"There is no gate decision {short_id(decision_id)}.")
    return found


def latest(session: Session, task: str) -> GateDecisionRecord | None:
    """The task's newest decision."""
    found = list_gate_decisions(session, task, limit=1)
    return found[0] if found else None


def latest_of_experiments(session: Session, task: str) -> GateDecisionRecord | None:
    """The newest decision that a live experiment of the task came to."""
    query = _select().where(GateDecisionRow.task == task, GateDecisionRow.kind == "experiment")
    row = session.execute(query.order_by(GateDecisionRow.created_at.desc(), GateDecisionRow.id).limit(1)).one_or_none()
    return None if row is None else read(GateDecisionRecord, row)


def list_gate_decisions(
    session: Session, task: str, *, candidate_id: str | None = None, limit: int | None = None
) -> list[GateDecisionRecord]:
    """The task's decisions, or those about one candidate, newest first."""
    query = _select().where(GateDecisionRow.task == task)
    if candidate_id is not None:
        query = query.where(GateDecisionRow.candidate_id == candidate_id)
    query = query.order_by(GateDecisionRow.created_at.desc(), GateDecisionRow.id).limit(limit)
    return [read(GateDecisionRecord, row) for row in session.execute(query)]


def looks(session: Session, task: str) -> int:
    """How many decisions of the task have looked at its test rows so far; the next look is one more."""
    counted = select(func.count()).select_from(GateDecisionRow)
    return session.scalar(counted.where(GateDecisionRow.task == task, GateDecisionRow.look > 0)) or 0


def _select() -> AnySelect:
    return select_record(GateDecisionRow, GateDecisionRecord)
