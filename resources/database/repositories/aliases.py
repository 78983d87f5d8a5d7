"""Aliases: movable names for one prompt version of a task, moved by compare-and-swap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from domain.alias_moves import MoveKind, is_held
from domain.errors import ConflictError, InputError, NotFoundError
from domain.identity import short_id
from resources.database.insert_ignore import insert_ignore
from resources.database.locks import lock_until_commit
from resources.database.repositories.records import AnySelect, read, select_record
from resources.database.repositories.references import is_version_number
from resources.database.tables import AliasMoveRow, AliasRow, PromptVersionRow

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,49}")


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """Where an alias points; `revision` grows by one with every move and is what a mover must name."""

    task: str
    alias: str
    prompt_version_id: str
    revision: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AliasMoveRecord:
    """One entry of an alias's history: the audit of who pointed it where, and why.

    Attributes:
        id: grows with every entry, of any alias.
        from_id: None for the first.
        decision_id: of a `gate` move the decision it carries out; of an `override` the one it overrules, if any.
    """

    id: int
    task: str
    alias: str
    from_id: str | None
    to_id: str
    kind: MoveKind
    moved_by: str
    reason: str
    decision_id: str | None
    moved_at: datetime


def find(session: Session, task: str, alias: str) -> AliasRecord | None:
    """The alias now."""
    row = session.execute(
        select_record(AliasRow, AliasRecord).where(AliasRow.task == task, AliasRow.alias == alias)
    ).one_or_none()
    return None if row is None else read(AliasRecord, row)


def get(session: Session, task: str, alias: str) -> AliasRecord:
    """The alias now.

    Raises:
        NotFoundError: the task has no such alias; the mend lists those it has.
    """
    found = find(session, task, alias)
    if found is None:
        known = [record.alias for record in list_aliases(session, task)]
        mend = f"Its aliases are: {', '.join(known)}." if known else "It has no aliases yet."
        raise NotFoundError(f"Task {task!r} has no alias {alias!r}.", mend=mend)
    return found


def list_aliases(session: Session, task: str | None = None) -> list[AliasRecord]:
    """The aliases of one task, or of all, by task and name."""
    query = select_record(AliasRow, AliasRecord).order_by(AliasRow.task, AliasRow.alias)
    if task is not None:
        query = query.where(AliasRow.task == task)
    return [read(AliasRecord, row) for row in session.execute(query)]


def move(
    session: Session,
    task: str,
    alias: str,
    to_id: str,
    *,
    expected_revision: int | None,
    moved_by: str,
    reason: str,
    now: datetime,
    decision_id: str | None = None,
    kind: MoveKind | None = None,
) -> AliasRecord:
    """Point `alias` at `to_id`, if it is still at `expected_revision` (None: if it does not exist yet).

    Without a `kind` it is the `first` where the alias does not exist yet, the `gate`'s where there is a decision, else
    by `hand`. Repeating a decision that moved the alias last changes nothing and returns the alias as it is.

    Raises:
        ConflictError: somebody else moved or made the alias first.
        NotFoundError: the task has no prompt version `to_id`.
        InputError: the alias could not be told from a version number, or the reason is empty.
    """
    _check(session, task, alias, to_id, reason)
    lock_until_commit(session, "aliases", task, alias)
    current = find(session, task, alias)
    if current is not None and current.prompt_version_id == to_id and _was_moved_by(session, current, decision_id):
        return current
    if not _swap(session, task, alias, to_id, expected_revision, now):
        raise _conflict(session, task, alias, expected_revision)
    from_id = None if current is None else current.prompt_version_id
    entry = {"task": task, "alias": alias, "from_id": from_id, "to_id": to_id, "decision_id": decision_id}
    kind = kind or _kind_of(expected_revision, decision_id)
    session.execute(insert(AliasMoveRow).values(**entry, kind=kind, moved_by=moved_by, reason=reason, moved_at=now))
    return AliasRecord(task, alias, to_id, (expected_revision or 0) + 1, now)


def hold(session: Session, task: str, alias: str) -> AliasMoveRecord | None:
    """The person's move that the gate must leave alone; None where the gate may move the alias."""
    newest = _moves(task, alias).limit(1)
    found = [read(AliasMoveRecord, row) for row in session.execute(newest)]
    return found[0] if is_held(found) else None


def release(session: Session, task: str, alias: str, *, released_by: str, reason: str, now: datetime) -> AliasRecord:
    """End a person's hold; the alias stays where it is.

    Raises:
        NotFoundError: the task has no such alias.
        InputError: nobody holds it, or the reason is empty.
    """
    if not reason.strip():
        raise InputError("A release needs a reason.", field="reason")
    lock_until_commit(session, "aliases", task, alias)
    current = get(session, task, alias)
    if hold(session, task, alias) is None:
        raise InputError(
            f"Nobody holds alias {alias!r} of task {task!r}.", field="alias", mend="The gate may move it already."
        )
    points_at = current.prompt_version_id
    entry = {"task": task, "alias": alias, "from_id": points_at, "to_id": points_at, "kind": "release"}
    session.execute(insert(AliasMoveRow).values(**entry, moved_by=released_by, reason=reason, moved_at=now))
    return current


def history(session: Session, task: str, alias: str | None = None) -> list[AliasMoveRecord]:
    """The moves of one alias, or of all the task's, newest first."""
    return [read(AliasMoveRecord, row) for row in session.execute(_moves(task, alias))]


def _moves(task: str, alias: str | None) -> AnySelect:
    query = select_record(AliasMoveRow, AliasMoveRecord).where(AliasMoveRow.task == task)
    if alias is not None:
        query = query.where(AliasMoveRow.alias == alias)
    return query.order_by(AliasMoveRow.id.desc())


def _kind_of(expected_revision: int | None, decision_id: str | None) -> MoveKind:
    if expected_revision is None:
        return "first"
    return "hand" if decision_id is None else "gate"


def _check(session: Session, task: str, alias: str, to_id: str, reason: str) -> None:
    if _ALIAS.fullmatch(alias) is None or is_version_number(alias):
        raise InputError(
            f"{alias!r} cannot be an alias.",
            mend="Use up to 50 small letters, digits, - and _, beginning with a letter; not v and a number.",
        )
    if not reason.strip():
        raise InputError("A move of an alias needs a reason.", field="reason")
    known = select(PromptVersionRow.id).where(PromptVersionRow.task == task, PromptVersionRow.id == to_id)
    if session.scalar(known) is None:
        raise NotFoundError(
            f"Task {task!r} has no prompt version {short_id(to_id)}.", mend="Register the version before moving to it."
        )


def _was_moved_by(session: Session, current: AliasRecord, decision_id: str | None) -> bool:
    if decision_id is None:
        return False
    moves = history(session, current.task, current.alias)
    return bool(moves) and moves[0].kind == "gate" and moves[0].decision_id == decision_id


def _swap(session: Session, task: str, alias: str, to_id: str, expected_revision: int | None, now: datetime) -> bool:
    if expected_revision is None:
        first = {"task": task, "alias": alias, "prompt_version_id": to_id, "revision": 1, "updated_at": now}
        return insert_ignore(session, AliasRow, [first]) == 1
    swapped = session.execute(
        update(AliasRow)
        .where(AliasRow.task == task, AliasRow.alias == alias, AliasRow.revision == expected_revision)
        .values(prompt_version_id=to_id, revision=expected_revision + 1, updated_at=now)
        .returning(AliasRow.revision)
        .execution_options(synchronize_session=False)
    )
    return swapped.one_or_none() is not None


def _conflict(session: Session, task: str, alias: str, expected_revision: int | None) -> ConflictError:
    current = find(session, task, alias)
    now_at = (
        "is gone" if current is None else f"is at revision {current.revision}, {short_id(current.prompt_version_id)}"
    )
    expected = "not to exist yet" if expected_revision is None else f"revision {expected_revision}"
    return ConflictError(
        f"Alias {alias!r} of task {task!r} {now_at}; expected {expected}.",
        mend="Look at the alias again and decide anew.",
    )
