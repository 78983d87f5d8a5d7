"""Tasks as last read from their files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from domain.errors import NotFoundError
from domain.task import Task
from resources.database.insert_ignore import dialect_insert
from resources.database.repositories.records import read, select_record
from resources.database.tables import TaskRow


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A stored task; `spec` is its `Task` as JSON values."""

    name: str
    spec: dict[str, Any]
    spec_id: str
    source_path: str
    updated_at: datetime

    @property
    def task(self) -> Task:
        """The task itself.

        Raises:
            pydantic.ValidationError: it was stored by a program with other rules; read its file again.
        """
        return Task.model_validate(self.spec)

    def task_like(self, read: Task) -> Task:
        """The task itself: `read` where that is the same, which spares parsing the stored one.

        Raises:
            pydantic.ValidationError: as `task`.
        """
        return read if read.spec_id == self.spec_id else self.task


def upsert_task(session: Session, task: Task, *, source_path: str, now: datetime) -> TaskRecord:
    """Store the task; `updated_at` moves only where something changed."""
    values = {
        "name": task.name,
        "spec": task.model_dump(mode="json"),
        "spec_id": task.spec_id,
        "source_path": source_path,
        "updated_at": now,
    }
    insert = dialect_insert(session, TaskRow).values(values)
    changed = {key: insert.excluded[key] for key in values if key != "name"}
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[TaskRow.name],
            set_=changed,
            where=or_(
                TaskRow.spec_id != insert.excluded["spec_id"], TaskRow.source_path != insert.excluded["source_path"]
            ),
        )
    )
    return get_task(session, task.name)


def get_task(session: Session, name: str) -> TaskRecord:
    """The stored task.

    Raises:
        NotFoundError: no task of that name; the mend lists those there are.
    """
    row = session.execute(select_record(TaskRow, TaskRecord).where(TaskRow.name == name)).one_or_none()
    if row is None:
        names = session.scalars(select(TaskRow.name).order_by(TaskRow.name)).all()
        known = f"The tasks are: {', '.join(names)}." if names else "No task has been read yet."
        raise NotFoundError(f"There is no task {name!r}.", mend=known)
    return read(TaskRecord, row)


def list_tasks(session: Session) -> list[TaskRecord]:
    """All tasks, by name."""
    rows = session.execute(select_record(TaskRow, TaskRecord).order_by(TaskRow.name))
    return [read(TaskRecord, row) for row in rows]
