"""Batches that a prompt version has answered within a time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from domain.batch.states import BatchState
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.records import read, select_record
from resources.database.tables import BatchRow


def finished_by(
    session: Session, task: str, prompt_version_id: str, since: datetime, until: datetime, most: int
) -> list[BatchRecord]:
    """The task's batches that were done by a prompt version within [since, until): the newest `most`, oldest first."""
    query = select_record(BatchRow, BatchRecord).where(*_is_done_by(task, prompt_version_id, since, until))
    newest = query.order_by(BatchRow.finished_at.desc(), BatchRow.id).limit(most)
    return [read(BatchRecord, row) for row in session.execute(newest)][::-1]


def rows_finished_by(session: Session, task: str, prompt_version_id: str, since: datetime, until: datetime) -> int:
    """Rows of the task's batches that were done by a prompt version within [since, until)."""
    query = select(func.sum(BatchRow.rows)).where(*_is_done_by(task, prompt_version_id, since, until))
    return int(session.scalar(query) or 0)


def _is_done_by(task: str, prompt_version_id: str, since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        BatchRow.task == task,
        BatchRow.prompt_version_id == prompt_version_id,
        BatchRow.state == BatchState.DONE.value,
        BatchRow.finished_at >= since,
        BatchRow.finished_at < until,
    )
