"""What people were told: each key once, claimed before it is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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


def delivered(session: Session, keys: Collection[str], now: datetime, problem: str | None = None) -> None:
    """They were sent; a `problem` says why nobody knows whether they arrived."""
    values = {"delivered_at": None if problem else now, "problem": problem}
    session.execute(update(AlertRow).where(AlertRow.key.in_(keys)).values(values))


def release(session: Session, keys: Collection[str]) -> None:
    """They were not sent, for certain: the next one may."""
    session.execute(delete(AlertRow).where(AlertRow.key.in_(keys)))


def forget(session: Session, before: datetime) -> int:
    """Drop what was claimed before a time; how many there were."""
    found = list(session.scalars(select(AlertRow.key).where(AlertRow.claimed_at < before)))
    for start in range(0, len(found), 500):
        session.execute(delete(AlertRow).where(AlertRow.key.in_(found[start : start + 500])))
    return len(found)
