"""Prompt versions: immutable, numbered per task in the order they were registered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from domain.errors import InputError
from domain.identity import short_id
from domain.prompt import PromptVersion
from resources.database.locks import lock_until_commit
from resources.database.repositories.records import AnyRow, AnySelect
from resources.database.repositories.references import find_version_id, not_found
from resources.database.tables import AliasRow, PromptVersionRow


@dataclass(frozen=True, slots=True)
class PromptVersionRecord:
    """A prompt version with what is stored beside its content.

    Attributes:
        version: 1, 2, … per task.
        parent_id: the version it was made from, if any.
        created_by: who or what made it, e.g. `author` or an optimization run's id.
    """

    task: str
    id: str
    version: int
    name: str
    prompt: PromptVersion
    parent_id: str | None
    created_by: str
    created_at: datetime


def register(
    session: Session,
    task: str,
    prompt: PromptVersion,
    *,
    created_by: str,
    now: datetime,
    parent_id: str | None = None,
    name: str | None = None,
) -> PromptVersionRecord:
    """Store a version under the task's next number; one that is there already is returned as it was stored.

    `name` is the task's where none is given.
    """
    lock_until_commit(session, "prompt_versions", task)
    known = find(session, task, prompt.id)
    if known is not None:
        return known
    highest = session.scalar(select(func.max(PromptVersionRow.version)).where(PromptVersionRow.task == task))
    version = (highest or 0) + 1
    session.execute(
        insert(PromptVersionRow).values(
            task=task,
            id=prompt.id,
            version=version,
            name=name or task,
            content=prompt.content(),
            parent_id=parent_id,
            created_by=created_by,
            created_at=now,
        )
    )
    return PromptVersionRecord(task, prompt.id, version, name or task, prompt, parent_id, created_by, now)


def find(session: Session, task: str, version_id: str) -> PromptVersionRecord | None:
    """The version with exactly that id."""
    row = session.execute(
        _select().where(PromptVersionRow.task == task, PromptVersionRow.id == version_id)
    ).one_or_none()
    return None if row is None else _read(row)


def get(session: Session, task: str, reference: str) -> PromptVersionRecord:
    """The version named by its number (`3`, `v3`), an alias, its id, or at least 6 first digits of the id.

    Raises:
        NotFoundError: it names none; the mend lists versions and aliases.
        InputError: it is the beginning of several ids.
    """
    aliases = {
        row.alias: row.prompt_version_id
        for row in session.execute(
            select(AliasRow.alias, AliasRow.prompt_version_id).where(AliasRow.task == task).order_by(AliasRow.alias)
        )
    }
    version_id = aliases.get(reference) or find_version_id(session, PromptVersionRow, task, reference)
    found = find(session, task, version_id) if version_id else None
    if found is None:
        raise not_found(session, PromptVersionRow, "prompt version", task, reference, list(aliases))
    return found


def ids_of_all(session: Session) -> set[tuple[str, str]]:
    """Task and id of every version of every task."""
    rows = session.execute(select(PromptVersionRow.task, PromptVersionRow.id))
    return {(row[0], row[1]) for row in rows}


def list_prompt_versions(session: Session, task: str, *, limit: int | None = None) -> list[PromptVersionRecord]:
    """The versions of the task, newest first."""
    newest = _select().where(PromptVersionRow.task == task).order_by(PromptVersionRow.version.desc()).limit(limit)
    return [_read(row) for row in session.execute(newest)]


def _select() -> AnySelect:
    return select(
        PromptVersionRow.task,
        PromptVersionRow.id,
        PromptVersionRow.version,
        PromptVersionRow.name,
        PromptVersionRow.content,
        PromptVersionRow.parent_id,
        PromptVersionRow.created_by,
        PromptVersionRow.created_at,
    )


def _read(row: AnyRow) -> PromptVersionRecord:
    prompt = PromptVersion.from_content(row.content)
    if prompt.id != row.id:
        raise InputError(
            f"The stored content of prompt version {short_id(row.id)} of task {row.task!r} does not match its id.",
            mend="Somebody changed the row by hand: restore it from a backup.",
        )
    return PromptVersionRecord(
        row.task, row.id, row.version, row.name, prompt, row.parent_id, row.created_by, row.created_at
    )
