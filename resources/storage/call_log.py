"""The ledger's days as Parquet, for the metrics to read and for calls that the ledger no longer keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from upath import UPath

from domain.errors import ConflictError
from domain.identity import content_id
from resources.database.locks import lock_until_commit
from resources.database.repositories import ledger_days
from resources.database.repositories.ledger import (
    BATCH_ROWS,
    AttemptRecord,
    CallRecord,
    attempts_of_day,
    calls_of_day,
)
from resources.database.repositories.ledger_days import ExportedDay
from resources.database.session import Database
from resources.storage.call_log_schemas import attempts_schema, calls_schema, days_schema
from resources.storage.call_log_summary import DaySummary, summarize
from resources.storage.removed_rows import with_removed_rows
from resources.storage.table_export import ExportedFile, export_records

CALLS_FOLDER = "call_log/calls"
ATTEMPTS_FOLDER = "call_log/attempts"
DAYS_FILE = "call_log/days.parquet"
_TWO_COLLECTIONS = "two collections at once"


@dataclass(frozen=True, slots=True)
class CallLogDay:
    """One exported UTC day: its two files and what they amount to.

    Attributes:
        cost_nano_usd, ambiguous_nano_usd: of the attempts in the file.
        summary: counted by the database; None for a day whose rows it no longer keeps.
    """

    day: date
    calls: ExportedFile
    attempts: ExportedFile
    cost_nano_usd: int
    ambiguous_nano_usd: int
    summary: DaySummary | None

    @property
    def content_id(self) -> str:
        """SHA-256 over both files' rows: an unchanged day keeps it."""
        return content_id([self.day.isoformat(), self.calls.content_id, self.attempts.content_id])


def collect_day(
    database: Database, root: UPath, day: date, now: datetime, *, batch_rows: int = BATCH_ROWS
) -> CallLogDay:
    """Write a day's files, remember what they hold and take away the marks they have caught up with.

    Killed at any point, the day keeps its marks and is written again by the next collection. So is a day that another
    process has collected meanwhile: nobody knows whose files have stayed.

    Raises:
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
        OSError: the storage cannot be written.
    """
    with database.session(read_only=True) as session:
        seen = ledger_days.marks_of(session, day)
        before = ledger_days.find_exported(session, day)
    written = write_day(database, root, day, batch_rows=batch_rows)
    exported = ExportedDay(
        day=day,
        content_id=written.content_id,
        calls=written.calls.rows,
        attempts=written.attempts.rows,
        cost_nano_usd=written.cost_nano_usd,
        ambiguous_nano_usd=written.ambiguous_nano_usd,
        exported_at=now,
        removed_at=None,
    )
    with database.session() as session:
        lock_until_commit(session, "promptory/call-log", day.isoformat())
        overtaken = ledger_days.find_exported(session, day) != before
        ledger_days.record_export(session, exported)
        ledger_days.unmark(session, day, seen)
        if overtaken:  # its file may have been replaced by this older one
            ledger_days.mark(session, _TWO_COLLECTIONS, [day])
    return written


def write_day(database: Database, root: UPath, day: date, *, batch_rows: int = BATCH_ROWS) -> CallLogDay:
    """Write the calls and the attempts that finished on the UTC `day`, each to a file of its own below `root`.

    Writing a day again replaces its files as a whole; `batch_rows` rows are held at a time. Of a day whose rows were
    removed from the database, the files keep them, and late rows are added.

    Raises:
        ConflictError: the day was removed from the database meanwhile; its files are as they were.
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
        OSError: the storage cannot be written.
    """
    removed = _is_removed(database, day)
    calls_file, attempts_file = calls_path(root, day), attempts_path(root, day)
    calls: Iterable[Sequence[CallRecord]] = calls_of_day(database, day, batch_rows=batch_rows)
    attempts: Iterable[Sequence[AttemptRecord]] = attempts_of_day(database, day, batch_rows=batch_rows)
    if removed:
        calls = with_removed_rows(calls_file, calls, CallRecord, "call_id", batch_rows)
        attempts = with_removed_rows(attempts_file, attempts, AttemptRecord, "attempt_id", batch_rows)
    money = _Money()

    def still_as_it_was() -> None:
        # Rows are removed only after the day is called removed: if it is not so now, all of them were read.
        if _is_removed(database, day) != removed:
            raise ConflictError(
                f"The ledger's {day} was compacted while it was copied.", mend="Copy it again; its files are untouched."
            )

    # Calls first: of a day that still grows, every exported call then finds its attempts.
    written_calls = export_records(calls, calls_file, calls_schema(), day=day, before_replacing=still_as_it_was)
    written_attempts = export_records(
        money.counting(attempts), attempts_file, attempts_schema(), day=day, before_replacing=still_as_it_was
    )
    summary = None if removed else _summary(database, day)
    return CallLogDay(day, written_calls, written_attempts, money.cost_nano_usd, money.ambiguous_nano_usd, summary)


def calls_path(root: UPath, day: date) -> UPath:
    """The file of a day's calls."""
    return root / CALLS_FOLDER / f"day={day.isoformat()}.parquet"


def attempts_path(root: UPath, day: date) -> UPath:
    """The file of a day's attempts."""
    return root / ATTEMPTS_FOLDER / f"day={day.isoformat()}.parquet"


def write_day_index(database: Database, root: UPath) -> ExportedFile:
    """Write which days are copied and what their files hold, from the database; the marts go by this file.

    Raises:
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
        OSError: the storage cannot be written.
    """
    with database.session(read_only=True) as session:
        days = ledger_days.exported_days(session)
    return export_records([days] if days else [], root / DAYS_FILE, days_schema())


def _is_removed(database: Database, day: date) -> bool:
    with database.session(read_only=True) as session:
        known = ledger_days.find_exported(session, day)
    return known is not None and known.removed_at is not None


def _summary(database: Database, day: date) -> DaySummary:
    start = datetime.combine(day, time(), UTC)
    with database.session(read_only=True) as session:
        return summarize(session, start, start + timedelta(days=1))


@dataclass(slots=True)
class _Money:
    """The sums of what was written: the database may know more a moment later."""

    cost_nano_usd: int = 0
    ambiguous_nano_usd: int = 0

    def counting(self, batches: Iterable[Sequence[AttemptRecord]]) -> Iterator[Sequence[AttemptRecord]]:
        """The same batches."""
        for batch in batches:
            self.cost_nano_usd += sum(one.cost_nano_usd for one in batch)
            self.ambiguous_nano_usd += sum(one.cost_nano_usd for one in batch if one.charge == "ambiguous")
            yield batch
