"""Reading rows into frozen dataclasses whose fields are named like the columns."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Row, Select, select

from resources.database.tables import Base

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")
AnySelect = Select[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]


@cache
def select_record(table: type[Base], record: type[DataclassInstance]) -> AnySelect:
    """A SELECT of the columns that `record` has fields for, in their order."""
    return select(*(getattr(table, field.name) for field in fields(record)))


def read(record: type[Record], row: AnyRow) -> Record:
    """The record of a row that `select_record` selected."""
    return record(*row)


def as_row(record: DataclassInstance) -> dict[str, Any]:
    """The column values of `record`, for an INSERT."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
