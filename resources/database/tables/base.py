"""The declarative base, constraint names and the column types all tables share."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, MetaData, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

# ruff: noqa: ARG002 - a TypeDecorator's methods are handed the dialect whether they need it or not

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite, which keeps no zone, gives it back aware as well."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone was about to be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ExactText(TypeDecorator[str]):
    """Any Python string, given back exactly.

    A model's answer may hold NUL (PostgreSQL refuses it) or half a surrogate pair (no UTF-8 for it). An answer that
    cannot be stored would be paid for again on every run, so such text is kept as marked, escaped JSON.
    """

    impl = Text
    cache_ok = True
    _MARK = "\x01json:"

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or self._is_plain(value):
            return value
        return self._MARK + json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        if value is None or not value.startswith(self._MARK):
            return value
        return json.loads(value.removeprefix(self._MARK))

    def _is_plain(self, value: str) -> bool:
        if "\0" in value or value.startswith(self._MARK):
            return False
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
