"""Writing many rows of one table at a time: SQL and conversions are worked out once, not once per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from math import floor
from typing import TYPE_CHECKING, Any, cast

import orjson
from sqlalchemy import JSON, Boolean, Float, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_into
from resources.database.tables.base import Base, UtcDateTime

if TYPE_CHECKING:
    from resources.database.insert_ignore import Insert

    Complete = Callable[[Insert], Insert]
Convert = Callable[[Any], Any]

# 24 columns make 3,072 parameters; SQLite takes 32,766.
MOST_ROWS = 128


class BulkWrite:
    """An INSERT of whole rows. SQLAlchemy prepares each row of an `executemany` anew, which costs more than SQLite.

    Moments are given as epoch seconds.

    Args:
        columns: the names of a row's values: all columns of the table, in its order.
        complete: adds what is to happen where a row is there already (`on_conflict_…`).

    Raises:
        ValueError: `columns` are not the table's.
    """

    def __init__(self, table: type[Base], columns: Sequence[str], complete: Complete) -> None:
        self._table = cast(Table, table.__table__)
        if list(columns) != [column.name for column in self._table.columns]:
            raise ValueError(f"these are not the columns of {self._table.name}, in their order: {list(columns)}")
        self._columns = tuple(columns)
        self._complete = complete
        self._prepared = lru_cache(maxsize=4)(self._prepare)

    def __call__(self, session: Session, rows: Sequence[Sequence[Any]]) -> None:
        """Write `rows` in the session's transaction.

        Raises:
            SQLAlchemyError: the database refuses a row; nothing of `rows` is written once the session is rolled back.
        """
        if not rows:
            return
        connection = session.connection()
        statement, converters, by_name = self._prepared(connection.dialect)
        if by_name:
            flat = _converted(rows, len(self._columns), converters)
            connection.exec_driver_sql(
                statement, [dict(zip(self._columns, row, strict=True)) for row in _rows(flat, len(self._columns))]
            )
            return
        for part in _parts(rows):
            many = _for_rows(statement, len(self._columns), len(part))
            connection.exec_driver_sql(many, tuple(_converted(part, len(self._columns), converters)))

    def _prepare(self, dialect: Dialect) -> tuple[str, list[tuple[int, Convert]], bool]:
        insert = self._complete(insert_into(self._table, dialect.name))
        compiled = insert.compile(dialect=dialect, column_keys=list(self._columns))
        converters = [
            (place, convert)
            for place, column in enumerate(self._table.columns)
            if (convert := _converter(column.type, dialect)) is not None
        ]
        return str(compiled), converters, not compiled.positional


def _parts(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """`rows` in pieces whose sizes are few: SQLite prepares each size's statement once."""
    start, size = 0, MOST_ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=64)
def _for_rows(statement: str, columns: int, rows: int) -> str:
    """The statement for so many rows at once.

    The driver takes Python's lock anew for every execution. Beside a busy event loop that costs more than the insert.
    """
    one = f"({', '.join('?' * columns)})"
    before, found, after = statement.partition(one)
    if not found:
        raise ValueError(f"not an INSERT of {columns} values: {statement}")
    return before + ", ".join([one] * rows) + after


def _converter(kind: Any, dialect: Dialect) -> Convert | None:
    if isinstance(kind, JSON):
        return _json_text
    if dialect.name == "sqlite" and isinstance(kind, Boolean | Float):
        return None  # sqlite3 takes them as they are
    if isinstance(kind, UtcDateTime):
        return _sqlite_moment if dialect.name == "sqlite" else _moment
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _json_text(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _moment(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _sqlite_moment(epoch_s: float) -> str:
    """As `UtcDateTime` writes it, at a fraction of its cost."""
    whole = floor(epoch_s)
    millionths = round((epoch_s - whole) * 1e6)
    if millionths == 1_000_000:
        whole, millionths = whole + 1, 0
    return f"{_second(whole)}.{millionths:06d}"


@lru_cache(maxsize=64)
def _second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _converted(rows: Sequence[Sequence[Any]], columns: int, converters: Sequence[tuple[int, Convert]]) -> list[Any]:
    """The values of all rows, one row after the other."""
    values = list(chain.from_iterable(rows))
    for place, convert in converters:
        values[place::columns] = map(convert, values[place::columns])
    return values


def _rows(values: Sequence[Any], columns: int) -> Iterator[Sequence[Any]]:
    return (values[start : start + columns] for start in range(0, len(values), columns))
