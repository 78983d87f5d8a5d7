"""What people are told: each key once per hook, claimed with the message about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from resources.database.insert_ignore import dialect_insert
from resources.database.tables import AlertRow


def claim(session: Session, kind: str, keys: Iterable[str], now: datetime) -> set[str]:
    """Claim those of `keys` that nobody has claimed; two processes never get the same one."""
    rows = [{"key": key, "kind": kind, "claimed_at": now, "delivered_at": None, "problem": None} for key in keys]
    if not rows:
        return set()
    statement = dialect_insert(session, AlertRow).on_conflict_do_nothing().returning(AlertRow.key)
    return set(session.scalars(statement, rows))


def known(session: Session, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that are claimed."""
    wanted = sorted(keys)
    found: set[str] = set()
    for start in range(0, len(wanted), 500):
        query = select(AlertRow.key).where(AlertRow.key.in_(wanted[start : start + 500]))
        found.update(session.scalars(query))
    return found


def of_kind(session: Session, kind: str) -> list[str]:
    """The keys of a kind that are claimed."""
    return list(session.scalars(select(AlertRow.key).where(AlertRow.kind == kind)))


def delivered(session: Session, keys: Sequence[str], now: datetime) -> None:
    """The message about them was taken."""
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        session.execute(update(AlertRow).where(AlertRow.key.in_(part)).values(delivered_at=now))


def forget(session: Session, before: datetime) -> int:
    """Drop what was claimed before a time; how many there were."""
    found = list(session.scalars(select(AlertRow.key).where(AlertRow.claimed_at < before)))
    for start in range(0, len(found), 500):
        session.execute(delete(AlertRow).where(AlertRow.key.in_(found[start : start + 500])))
    return len(found)
