"""Inserting rows that may be there already, in both dialects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from resources.database.tables import Base

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

    Insert = postgresql.Insert | sqlite.Insert


def insert_into(table: Table, dialect: str) -> Insert:
    """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # imports what knows of each of its drivers, too

        return postgresql.insert(table)
    return sqlite.insert(table)


def dialect_insert(session: Session, table: type[Base]) -> Insert:
    """`insert_into` for the table and the dialect of a session."""
    return insert_into(_core(table), session.get_bind().dialect.name)


def insert_ignore(session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> int:
    """Insert `rows`, skip those whose primary or unique key exists; how many were new.

    Every row must name the same columns.
    """
    if not rows:
        return 0
    # RETURNING lets SQLAlchemy send many rows per statement, and counts the new ones truthfully.
    keys = _core(table).primary_key.columns
    statement = dialect_insert(session, table).on_conflict_do_nothing().returning(*keys)
    return len(session.execute(statement, list(rows)).all())


def _core(table: type[Base]) -> Table:
    # An INSERT of the mapped class would go through the ORM, which splits the rows wherever a value is None.
    return cast(Table, table.__table__)
