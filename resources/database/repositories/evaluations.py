"""Evaluations: one prompt version on one split of a dataset version; the examples are Parquet at `storage_path`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from domain.errors import ConflictError, NotFoundError
from domain.identity import id_for_task, short_id
from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import AnySelect, as_row, read, select_record
from resources.database.tables import EvaluationRow


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One evaluation: the metric's mean over `rows` examples with its 95 % interval, and the whole summary.

    Attributes:
        summary: besides the figures, `scored_by` (the hash of all that decides the metric's scores) and `sample` (which
            draw of answers they are of; 0 for those kept for everyone). Earlier releases did not record these two.
    """

    id: str
    task: str
    prompt_version_id: str
    dataset_version_id: str
    split: str
    metric: str
    rows: int
    score: float
    score_low: float
    score_high: float
    summary: dict[str, Any]
    storage_path: str
    created_at: datetime

    @property
    def scored_by(self) -> str | None:
        """Equal where the metric's scores mean the same; None of one that an earlier release stored."""
        return self.summary.get("scored_by")

    @property
    def comparable(self) -> tuple[str, str, str | None, int | None]:
        """Equal for evaluations of two prompts on the same split whose scores may be set against each other by row."""
        return self.dataset_version_id, self.metric, self.scored_by, self.summary.get("sample")


def save(session: Session, evaluation: EvaluationRecord) -> EvaluationRecord:
    """Store an evaluation; one with its id that is there already is returned as it was stored.

    Save that it learns what its summary, written by an earlier release, does not say yet.

    Raises:
        ConflictError: what is stored under its id is another task's; see `id_for`.
    """
    insert_ignore(session, EvaluationRow, [as_row(evaluation)])
    stored = get(session, evaluation.id)
    if stored.task != evaluation.task:
        raise ConflictError(
            f"Evaluation {short_id(evaluation.id)} was just recorded for task {stored.task!r}.",
            mend="Evaluate again: the answers are kept.",
        )
    missing = evaluation.summary.keys() - stored.summary.keys()
    if not missing:
        return stored
    summary = {**stored.summary, **{name: evaluation.summary[name] for name in missing}}
    session.execute(update(EvaluationRow).where(EvaluationRow.id == stored.id).values(summary=summary))
    return replace(stored, summary=summary)


def id_for(session: Session, evaluation_id: str, task: str) -> str:
    """The id under which `task` keeps the evaluation of that id: its own where another task has it."""
    found = find(session, evaluation_id)
    return id_for_task(evaluation_id, task, found.task if found else None)


def find(session: Session, evaluation_id: str) -> EvaluationRecord | None:
    """The evaluation with exactly that id."""
    row = session.execute(_select().where(EvaluationRow.id == evaluation_id)).one_or_none()
    return None if row is None else read(EvaluationRecord, row)


def get(session: Session, evaluation_id: str) -> EvaluationRecord:
    """The evaluation with exactly that id.

    Raises:
        NotFoundError: no such evaluation.
    """
    found = find(session, evaluation_id)
    if found is None:
        raise NotFoundError(f"There is no evaluation {short_id(evaluation_id)}.")
    return found


def list_evaluations(
    session: Session,
    task: str,
    *,
    prompt_version_id: str | None = None,
    dataset_version_id: str | None = None,
    split: str | None = None,
    limit: int | None = None,
) -> list[EvaluationRecord]:
    """The task's evaluations that fit, newest first."""
    query = _select().where(EvaluationRow.task == task)
    for column, wanted in (
        (EvaluationRow.prompt_version_id, prompt_version_id),
        (EvaluationRow.dataset_version_id, dataset_version_id),
        (EvaluationRow.split, split),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    query = query.order_by(EvaluationRow.created_at.desc(), EvaluationRow.id).limit(limit)
    return [read(EvaluationRecord, row) for row in session.execute(query)]


def latest(
    session: Session,
    task: str,
    *,
    prompt_version_id: str | None = None,
    dataset_version_id: str | None = None,
    split: str | None = None,
) -> EvaluationRecord | None:
    """The newest of the task's evaluations that fit."""
    found = list_evaluations(
        session,
        task,
        prompt_version_id=prompt_version_id,
        dataset_version_id=dataset_version_id,
        split=split,
        limit=1,
    )
    return found[0] if found else None


def _select() -> AnySelect:
    return select_record(EvaluationRow, EvaluationRecord)
