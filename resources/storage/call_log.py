"""The ledger and the evaluations as Parquet, for the metrics to read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from upath import UPath

from domain.identity import content_id
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.ledger import BATCH_ROWS, attempts_of_day, calls_of_day
from resources.database.repositories.records import read, select_record
from resources.database.session import Database
from resources.database.tables import EvaluationRow
from resources.storage.call_log_schemas import attempts_schema, calls_schema, evaluations_schema
from resources.storage.call_log_summary import DaySummary, summarize
from resources.storage.table_export import ExportedFile, export_records, write_empty

CALLS_FOLDER = "call_log/calls"
ATTEMPTS_FOLDER = "call_log/attempts"
EVALUATIONS_FILE = "evaluations.parquet"
_COLUMNS_FILE = "columns.parquet"


@dataclass(frozen=True, slots=True)
class CallLogDay:
    """One exported UTC day: its two files and what they amount to."""

    day: date
    calls: ExportedFile
    attempts: ExportedFile
    summary: DaySummary

    @property
    def content_id(self) -> str:
        """SHA-256 over both files' rows: an unchanged day keeps it."""
        return content_id([self.day.isoformat(), self.calls.content_id, self.attempts.content_id])


def write_day(database: Database, root: UPath, day: date, *, batch_rows: int = BATCH_ROWS) -> CallLogDay:
    """Write the calls and the attempts that finished on the UTC `day`, each to a file of its own below `root`.

    Writing a day again replaces its files as a whole; `batch_rows` rows are held at a time.

    Raises:
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
        OSError: the storage cannot be written.
    """
    start = datetime.combine(day, time(), UTC)
    name = f"day={day.isoformat()}.parquet"
    # Calls first: of a day that still grows, every exported call then finds its attempts.
    calls = export_records(
        calls_of_day(database, day, batch_rows=batch_rows), root / CALLS_FOLDER / name, calls_schema(), day=day
    )
    attempts = export_records(
        attempts_of_day(database, day, batch_rows=batch_rows), root / ATTEMPTS_FOLDER / name, attempts_schema(), day=day
    )
    with database.session(read_only=True) as session:
        return CallLogDay(day, calls, attempts, summarize(session, start, start + timedelta(days=1)))


def write_evaluations(database: Database, root: UPath) -> ExportedFile:
    """Write all evaluations, oldest first, to one file below `root`.

    Raises:
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
        OSError: the storage cannot be written.
    """
    query = select_record(EvaluationRow, EvaluationRecord).order_by(EvaluationRow.created_at, EvaluationRow.id)
    with database.session(read_only=True) as session:
        evaluations = [read(EvaluationRecord, row) for row in session.execute(query)]
    return export_records([evaluations] if evaluations else [], root / EVALUATIONS_FILE, evaluations_schema())


def write_missing_tables(root: UPath) -> None:
    """Let the metrics be built before anything was exported, and over days an older release exported.

    A file with all columns and no row lies beside the days: the union of the files then has every column.

    Raises:
        OSError: the storage cannot be written.
    """
    write_empty(root / CALLS_FOLDER / _COLUMNS_FILE, calls_schema())
    write_empty(root / ATTEMPTS_FOLDER / _COLUMNS_FILE, attempts_schema())
    if not (root / EVALUATIONS_FILE).exists():
        write_empty(root / EVALUATIONS_FILE, evaluations_schema())
