"""Files of the batch folders that were taken in, or could not be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.database.insert_ignore import dialect_insert
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import BatchFileRow


@dataclass(frozen=True, slots=True)
class BatchFileRecord:
    """One file of a task's batch folder.

    Attributes:
        stamp: its size and date (or the store's tag) when it was read: another stamp is another content.
        batch_id: the batch it became, or already was; None where it could not be used.
        problem: why not.
    """

    task: str
    name: str
    stamp: str
    batch_id: str | None
    problem: str | None
    seen_at: datetime


def put(session: Session, record: BatchFileRecord) -> None:
    """Remember what became of the file, in place of what was remembered before."""
    values = as_row(record)
    insert = dialect_insert(session, BatchFileRow).values(values)
    changed = {name: insert.excluded[name] for name in values if name not in ("task", "name")}
    session.execute(insert.on_conflict_do_update(index_elements=["task", "name"], set_=changed))


def stamps(session: Session, task: str) -> dict[str, str]:
    """The stamp of every file of the task that was looked at, by name."""
    query = select(BatchFileRow.name, BatchFileRow.stamp).where(BatchFileRow.task == task)
    return {row.name: row.stamp for row in session.execute(query)}


def list_problems(session: Session, task: str | None = None, limit: int = 100) -> list[BatchFileRecord]:
    """Files that could not be used, newest first."""
    query = select_record(BatchFileRow, BatchFileRecord).where(BatchFileRow.problem.is_not(None))
    if task is not None:
        query = query.where(BatchFileRow.task == task)
    query = query.order_by(BatchFileRow.seen_at.desc(), BatchFileRow.name).limit(limit)
    return [read(BatchFileRecord, row) for row in session.execute(query)]
