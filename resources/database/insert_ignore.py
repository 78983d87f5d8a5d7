"""Inserting rows that may be there already, in both dialects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from resources.database.tables import Base

Insert = postgresql.Insert | sqlite.Insert


def insert_into(dialect: Dialect, table: type[Base]) -> Insert:
    """An INSERT into `table` that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(_core(table)) if dialect.name == "postgresql" else sqlite.insert(_core(table))


def dialect_insert(session: Session, table: type[Base]) -> Insert:
    """The same, for the session's database."""
    return insert_into(session.get_bind().dialect, table)


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
