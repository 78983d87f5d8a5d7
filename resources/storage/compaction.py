"""Old days of the ledger, given over to their Parquet files: the database forgets their rows, and nothing is lost.

A day's rows are removed only after each of them was found in the day's files, equal in every column, and after the
marts were found to hold the day's money. What removed attempts had charged to scopes that never close (`org`, `task:…`,
`run:…`) is added up in the same transactions, so that budgets are still rebuilt in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, zip_longest
from typing import Any

from sqlalchemy import delete
from upath import UPath

from resources.database.repositories import experiments, ledger_days
from resources.database.repositories.ledger import AttemptRecord, CallRecord, attempts_of_day, calls_of_day
from resources.database.repositories.ledger_days import ExportedDay
from resources.database.session import Database
from resources.database.tables import AttemptRow, CallRow
from resources.metrics.reconciliation import DaySums
from resources.storage.call_log import attempts_path, calls_path
from resources.storage.keeping import SHORTEST_KEEP_DAYS
from resources.storage.reading import is_there
from resources.storage.removed_rows import read_records

CHUNK_ROWS = 2_000
_CLOSING = ("day:", "month:")


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
        OSError: a file is gone or cannot be read.
    """
    day = exported.day
    kept = _reason_to_keep(database, root, marts, exported)
    if kept is not None:
        return Compacted(day, kept_because=kept)
    with database.session() as session:
        if ledger_days.marks_of(session, day):
            return Compacted(day, kept_because="it has grown since it was copied")
        ledger_days.set_removed(session, day, now)
    attempts = sum(_remove_attempts(database, batch) for batch in attempts_of_day(database, day))
    calls = sum(_remove_calls(database, batch) for batch in calls_of_day(database, day))
    return Compacted(day, calls, attempts)


def finish_removals(database: Database, root: UPath) -> list[Compacted]:
    """Go on where a compaction was killed: rows of removed days that are in the files are removed, others stay.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
        OSError: a file is gone or cannot be read.
    """
    with database.session(read_only=True) as session:
        marked = set(ledger_days.changed_days(session))
        days = [one.day for one in ledger_days.removed_days(session) if one.day not in marked]
    return [done for day in days if (done := _finish(database, root, day)).removed_attempts or done.removed_calls]


def _finish(database: Database, root: UPath, day: date) -> Compacted:
    attempts = calls = 0
    for batch in attempts_of_day(database, day):
        found = set(_found(attempts_path(root, day), AttemptRecord, "attempt_id", batch))
        attempts += _remove_attempts(database, [one for one in batch if one.attempt_id in found])
    for batch in calls_of_day(database, day):
        found = set(_found(calls_path(root, day), CallRecord, "call_id", batch))
        calls += _remove_calls(database, [one for one in batch if one.call_id in found])
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
    if not all(_equal(rows, copied) for rows, copied in pairs):
        return "its files differ from the ledger; copy it again"
    return None


def _equal(rows: Iterable[Sequence[Any]], copied: Iterable[Any]) -> bool:
    """Both come in the order in which the day was copied, so that neither is held in memory."""
    return all(one == other for one, other in zip_longest(chain.from_iterable(rows), copied))


def _found(path: UPath, record: type[Any], key: str, batch: Sequence[Any]) -> Iterator[str]:
    """The keys of those rows that the file holds, equal in every column."""
    wanted = {getattr(one, key): one for one in batch}
    if wanted and is_there(path):
        for one in read_records(path, record):
            if wanted.get(getattr(one, key)) == one:
                yield getattr(one, key)


def _remove_attempts(database: Database, records: Sequence[AttemptRecord]) -> int:
    removed = 0
    for start in range(0, len(records), CHUNK_ROWS):
        chunk = {one.attempt_id: one for one in records[start : start + CHUNK_ROWS]}
        statement = delete(AttemptRow).where(AttemptRow.attempt_id.in_(chunk)).returning(AttemptRow.attempt_id)
        with database.session() as session:
            # Only what this transaction removed is added: another process may be at the same day.
            gone = [chunk[one] for one in session.scalars(statement)]
            ledger_days.add_removed_spend(session, [line for one in gone for line in _charges(one)])
        removed += len(gone)
    return removed


def _remove_calls(database: Database, records: Sequence[CallRecord]) -> int:
    removed = 0
    for start in range(0, len(records), CHUNK_ROWS):
        ids = [one.call_id for one in records[start : start + CHUNK_ROWS]]
        statement = delete(CallRow).where(CallRow.call_id.in_(ids)).returning(CallRow.call_id)
        with database.session() as session:
            removed += len(session.scalars(statement).all())
    return removed


def _charges(attempt: AttemptRecord) -> Iterator[tuple[str, int, int]]:
    """(scope, spent, ambiguous) for every scope of the attempt that never closes."""
    ambiguous = attempt.charge == "ambiguous"
    for scope in attempt.scopes:
        if attempt.cost_nano_usd and not scope.startswith(_CLOSING):
            cost = attempt.cost_nano_usd
            yield scope, 0 if ambiguous else cost, cost if ambiguous else 0
