"""Old days of the ledger, given over to their Parquet files: the database forgets their rows, and nothing is lost.

A day's rows are removed only after each of them was found in the day's files, equal in every column, and after the
marts were found to hold the day's money. What removed attempts had charged to scopes that never close (`org`, `task:…`,
`run:…`) is added up in the same transactions, so that budgets are still rebuilt in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sqlalchemy import delete
from sqlalchemy.orm import Session
from upath import UPath

from resources.database.locks import BUDGET_REBUILD, lock_until_commit
from resources.database.repositories import experiments, ledger_days
from resources.database.repositories.ledger import AttemptRecord, CallRecord, attempts_of_day, calls_of_day
from resources.database.repositories.ledger_days import ExportedDay
from resources.database.repositories.records import read, select_record
from resources.database.session import Database
from resources.database.tables import AttemptRow, CallRow
from resources.metrics.reconciliation import DaySums
from resources.storage.call_log import attempts_path, calls_path
from resources.storage.keeping import SHORTEST_KEEP_DAYS
from resources.storage.reading import is_there
from resources.storage.removed_rows import read_records

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

CHUNK_ROWS = 2_000
_CLOSING = ("day:", "month:")


class _OfDay(Protocol[Record]):
    def __call__(self, database: Database, day: date, *, batch_rows: int = ...) -> Iterator[list[Record]]: ...


@dataclass(frozen=True, slots=True)
class _Rows(Generic[Record]):
    """One of the two tables of the ledger."""

    table: Any
    record: type[Record]
    key: str
    of_day: _OfDay[Record]


_ATTEMPTS = _Rows(AttemptRow, AttemptRecord, "attempt_id", attempts_of_day)
_CALLS = _Rows(CallRow, CallRecord, "call_id", calls_of_day)


@dataclass(frozen=True, slots=True)
class Compacted:
    """What came of one day: how many rows were removed, or why none was."""

    day: date
    removed_calls: int = 0
    removed_attempts: int = 0
    kept_because: str | None = None


def days_to_compact(database: Database, today: date, keep_days: int) -> list[ExportedDay]:
    """The copied days older than `keep_days` whose rows the database still has, oldest first.

    Days since the start of an experiment that runs, or was stopped within `keep_days`, stay: reports read its calls.
    """
    last = today - timedelta(days=max(keep_days, SHORTEST_KEEP_DAYS))
    with database.session(read_only=True) as session:
        days = ledger_days.exported_days(session)
        needed = [
            one.started_at.date()
            for one in experiments.list_experiments(session)
            if one.stopped_at is None or one.stopped_at.date() >= last
        ]
    first_needed = min(needed, default=last)
    return [one for one in days if one.day < min(last, first_needed) and one.removed_at is None]


def compact_day(
    database: Database, root: UPath, marts: Mapping[date, DaySums], exported: ExportedDay, now: datetime
) -> Compacted:
    """Remove one copied day's rows from the database. Killed at any point, it is finished by the next compaction.

    Args:
        marts: what the marts hold by day.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
        StateUnavailableError: the store of the files does not answer.
    """
    day = exported.day
    kept = _reason_to_keep(database, root, marts, exported)
    if kept is not None:
        return Compacted(day, kept_because=kept)
    with database.session() as session:
        if ledger_days.marks_of(session, day):
            return Compacted(day, kept_because="it has grown since it was copied")
        ledger_days.set_removed(session, day, now)
    return _remove_copied(database, root, day)


def finish_removals(database: Database, root: UPath) -> list[Compacted]:
    """Go on where a compaction was killed: rows of removed days that are in the files are removed, others stay.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
        StateUnavailableError: the store of the files does not answer.
    """
    with database.session(read_only=True) as session:
        marked = set(ledger_days.changed_days(session))
        days = [one.day for one in ledger_days.removed_days(session) if one.day not in marked]
    done = [_remove_copied(database, root, day) for day in days]
    return [one for one in done if one.removed_attempts or one.removed_calls or one.kept_because]


def _remove_copied(database: Database, root: UPath, day: date) -> Compacted:
    """Remove the rows that the day's files hold. Any other row, however late it came, stays and is copied next."""
    attempts = calls = 0
    try:
        attempts = _remove(database, attempts_path(root, day), _ATTEMPTS, day)
        calls = _remove(database, calls_path(root, day), _CALLS, day)
    except OSError as error:
        return Compacted(day, calls, attempts, f"its files cannot be read, restore them from a backup ({error})")
    return Compacted(day, calls, attempts)


def _reason_to_keep(
    database: Database, root: UPath, marts: Mapping[date, DaySums], exported: ExportedDay
) -> str | None:
    """Why the day may not be removed; None after everything was compared."""
    day = exported.day
    wanted = DaySums(exported.calls, exported.attempts, exported.cost_nano_usd, exported.ambiguous_nano_usd)
    if marts.get(day, DaySums()) != wanted:
        return "the marts do not hold what was copied; build them first"
    if not (is_there(calls_path(root, day)) and is_there(attempts_path(root, day))):
        return "its files are gone; copy it again"
    pairs = (
        (attempts_of_day(database, day), read_records(attempts_path(root, day), AttemptRecord)),
        (calls_of_day(database, day), read_records(calls_path(root, day), CallRecord)),
    )
    try:
        if all(_equal(rows, copied) for rows, copied in pairs):
            return None
    except OSError as error:
        return f"its files cannot be read; copy it again ({error})"
    return "its files differ from the ledger; copy it again"


def _equal(rows: Iterable[Sequence[Any]], copied: Iterable[Any]) -> bool:
    """Both come in the order in which the day was copied, so that neither is held in memory."""
    return all(one == other for one, other in zip_longest(chain.from_iterable(rows), copied))


def _remove(database: Database, path: UPath, rows: _Rows[Any], day: date) -> int:
    if next(rows.of_day(database, day, batch_rows=1), None) is None or not is_there(path):
        return 0
    copied = read_records(path, rows.record)
    removed = 0
    while chunk := {getattr(one, rows.key): one for one in islice(copied, CHUNK_ROWS)}:
        with database.session() as session:
            removed += _remove_equal(session, rows, chunk)
    return removed


def _remove_equal(session: Session, rows: _Rows[Any], copied: Mapping[str, Any]) -> int:
    """Remove those of the `copied` rows that are equal in every column, and keep what they charged."""
    lock_until_commit(session, BUDGET_REBUILD)
    key = getattr(rows.table, rows.key)
    there = session.execute(select_record(rows.table, rows.record).where(key.in_(copied)).with_for_update())
    equal = [one for row in there if copied[getattr(one := read(rows.record, row), rows.key)] == one]
    if equal:
        session.execute(delete(rows.table).where(key.in_([getattr(one, rows.key) for one in equal])))
        if rows is _ATTEMPTS:
            ledger_days.add_removed_spend(session, [line for one in equal for line in _charges(one)])
    return len(equal)


def _charges(attempt: AttemptRecord) -> Iterator[tuple[str, int, int]]:
    """(scope, spent, ambiguous) for every scope of the attempt that never closes."""
    ambiguous = attempt.charge == "ambiguous"
    for scope in attempt.scopes:
        if attempt.cost_nano_usd and not scope.startswith(_CLOSING):
            cost = attempt.cost_nano_usd
            yield scope, 0 if ambiguous else cost, cost if ambiguous else 0
