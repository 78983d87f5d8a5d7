"""Dataset versions: immutable, numbered per task in the order they were registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from domain.dataset import DatasetVersion
from resources.database.locks import lock_until_commit
from resources.database.repositories.records import AnyRow, AnySelect
from resources.database.repositories.references import find_version_id, id_range, not_found
from resources.database.tables import DatasetVersionRow


def register(
    session: Session,
    task: str,
    version_id: str,
    *,
    storage_path: str,
    rows: int,
    split_rows: Mapping[str, int],
    quarantined: int,
    sources: Sequence[Mapping[str, Any]],
    now: datetime,
) -> DatasetVersion:
    """Store a version under the task's next number; one that is there already is returned as it was stored."""
    lock_until_commit(session, "dataset_versions", task)
    known = find(session, task, version_id)
    if known is not None:
        return known
    highest = session.scalar(select(func.max(DatasetVersionRow.version)).where(DatasetVersionRow.task == task))
    session.execute(
        insert(DatasetVersionRow).values(
            task=task,
            id=version_id,
            version=(highest or 0) + 1,
            storage_path=storage_path,
            rows=rows,
            split_rows=dict(split_rows),
            quarantined=quarantined,
            sources=[dict(source) for source in sources],
            created_at=now,
        )
    )
    return get(session, task, version_id)


def find(session: Session, task: str, version_id: str) -> DatasetVersion | None:
    """The version with exactly that id."""
    row = session.execute(
        _select().where(DatasetVersionRow.task == task, DatasetVersionRow.id == version_id)
    ).one_or_none()
    return None if row is None else _read(row)


def get(session: Session, task: str, reference: str) -> DatasetVersion:
    """The version named by its number (`3`, `v3`), its id, or at least 6 first digits of the id.

    Raises:
        NotFoundError: it names none; the mend lists those there are.
        InputError: it is the beginning of several ids.
    """
    version_id = find_version_id(session, DatasetVersionRow, task, reference)
    found = find(session, task, version_id) if version_id else None
    if found is None:
        raise not_found(session, DatasetVersionRow, "dataset version", task, reference)
    return found


def find_anywhere(session: Session, reference: str) -> list[DatasetVersion]:
    """The versions of any task whose id is `reference`, or begins with it (6 digits or more); by task and number."""
    within = id_range(DatasetVersionRow, reference)
    if within is None:
        return []
    rows = session.execute(_select().where(within).order_by(DatasetVersionRow.task, DatasetVersionRow.version))
    return [_read(row) for row in rows]


def latest(session: Session, task: str) -> DatasetVersion | None:
    """The version registered last."""
    newest = _select().where(DatasetVersionRow.task == task).order_by(DatasetVersionRow.version.desc()).limit(1)
    row = session.execute(newest).one_or_none()
    return None if row is None else _read(row)


def latest_besides(session: Session, task: str, version_id: str) -> DatasetVersion | None:
    """The version registered last of those that are not `version_id`: with a version taken anew, what it replaces."""
    others = _select().where(DatasetVersionRow.task == task, DatasetVersionRow.id != version_id)
    row = session.execute(others.order_by(DatasetVersionRow.version.desc()).limit(1)).one_or_none()
    return None if row is None else _read(row)


def latest_of_all(session: Session) -> dict[str, DatasetVersion]:
    """The version registered last, by task, of every task that has one."""
    newest = (
        select(DatasetVersionRow.task, func.max(DatasetVersionRow.version).label("version"))
        .group_by(DatasetVersionRow.task)
        .subquery()
    )
    rows = session.execute(
        _select().join(
            newest, (newest.c.task == DatasetVersionRow.task) & (newest.c.version == DatasetVersionRow.version)
        )
    )
    return {version.task: version for version in map(_read, rows)}


def list_dataset_versions(session: Session, task: str) -> list[DatasetVersion]:
    """All versions of the task, newest first."""
    rows = session.execute(_select().where(DatasetVersionRow.task == task).order_by(DatasetVersionRow.version.desc()))
    return [_read(row) for row in rows]


def _select() -> AnySelect:
    return select(*(getattr(DatasetVersionRow, name) for name in DatasetVersion.model_fields))


def _read(row: AnyRow) -> DatasetVersion:
    return DatasetVersion.model_validate(dict(row._mapping))  # noqa: SLF001 - SQLAlchemy's public name for it
