"""Locks by name that last until the transaction ends."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

BUDGET_REBUILD = "promptory/budget-rebuild"
"""Held while all charges are summed, and by who moves one to another table: it would be in both sums, or in none."""


def lock_until_commit(session: Session, *names: str) -> None:
    """Make sessions that ask for the same names take turns, across processes.

    On SQLite a writing session already is the only one.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("/".join(names), 0))))
