"""Calls that the database has given over to the call log's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy.orm import Session
from upath import UPath

from domain.errors import InputError
from resources.database.repositories import ledger_days
from resources.database.repositories.call_references import ID_LENGTH
from resources.database.repositories.ledger import AttemptRecord, CallRecord
from resources.database.repositories.references import MIN_PREFIX_LENGTH
from resources.storage.call_log import attempts_path, calls_path
from resources.storage.parquet import Filter, read_table
from resources.storage.reading import is_there
from resources.storage.removed_rows import as_record

_SHOWN = 5
_LONGEST_CALL = timedelta(days=2)


class RemovedCalls:
    """Looks through the files of removed days, the newest first. A day's ids are read whole: a moment for each day."""

    def __init__(self, session: Session, root: UPath) -> None:
        self._root = root
        self._days = [one.day for one in ledger_days.removed_days(session)]

    def find(self, reference: str) -> tuple[CallRecord | None, tuple[AttemptRecord, ...]] | None:
        """The call that `reference` names (its id, or the beginning of it) with its attempts; None if there is none.

        Raises:
            InputError: it is the beginning of several ids.
        """
        whole = len(reference) >= ID_LENGTH
        if not whole and len(reference) < MIN_PREFIX_LENGTH:
            return None
        filters: list[Filter] = [("call_id", "==", reference)]
        if not whole:
            filters = [("call_id", ">=", reference), ("call_id", "<=", reference.ljust(ID_LENGTH, "f"))]
        found: dict[str, date] = {}
        for day in self._days:
            paths = (calls_path(self._root, day), attempts_path(self._root, day))
            found |= {row["call_id"]: day for path in paths for row in _rows(path, filters, ["call_id"])}
            if found and whole:
                break
        if len(found) > 1:
            raise InputError(
                f"{reference!r} is the beginning of several calls' ids: {', '.join(sorted(found)[:_SHOWN])}.",
                field="call_id",
                mend="Write more digits.",
            )
        return self._read(*next(iter(found.items()))) if found else None

    def of_row(self, task: str, row_id: str) -> list[CallRecord]:
        """Every removed call that a dataset row went into, oldest first."""
        filters: list[Filter] = [("task", "==", task), ("row_id", "==", row_id)]
        rows = [row for day in reversed(self._days) for row in _rows(calls_path(self._root, day), filters)]
        return [as_record(row, CallRecord) for row in rows]

    def _read(self, call_id: str, day: date) -> tuple[CallRecord | None, tuple[AttemptRecord, ...]]:
        near = [one for one in self._days if abs(one - day) <= _LONGEST_CALL]
        filters: list[Filter] = [("call_id", "==", call_id)]
        calls = [row for one in near for row in _rows(calls_path(self._root, one), filters)]
        attempts = [row for one in near for row in _rows(attempts_path(self._root, one), filters)]
        ordered = sorted((as_record(row, AttemptRecord) for row in attempts), key=lambda one: one.number)
        return (as_record(calls[0], CallRecord) if calls else None), tuple(ordered)


def _rows(path: UPath, filters: Sequence[Filter], columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    if is_there(path):
        yield from read_table(path, columns, filters).to_pylist()
