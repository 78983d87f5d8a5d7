"""The small tables the metrics read beside the ledger: evaluations, checks of production, budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from upath import UPath

from resources.database.repositories import production_checks
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.records import read, select_record
from resources.database.session import Database
from resources.database.tables import EvaluationRow
from resources.llm.budget_summary import BudgetLine
from resources.storage.call_log import ATTEMPTS_FOLDER, CALLS_FOLDER, DAYS_FILE
from resources.storage.call_log_schemas import (
    attempts_schema,
    budgets_schema,
    calls_schema,
    days_schema,
    evaluations_schema,
    production_checks_schema,
)
from resources.storage.reading import is_there
from resources.storage.table_export import ExportedFile, export_records, write_empty

EVALUATIONS_FILE = "evaluations.parquet"
PRODUCTION_CHECKS_FILE = "production_checks.parquet"
BUDGETS_FILE = "budgets.parquet"
_COLUMNS_FILE = "columns.parquet"


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


def write_production_checks(database: Database, root: UPath) -> ExportedFile:
    """Write all checks of production prompts, oldest first, to one file below `root`.

    Raises:
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
        OSError: the storage cannot be written.
    """
    with database.session(read_only=True) as session:
        checks = production_checks.all_checks(session)
    return export_records([checks] if checks else [], root / PRODUCTION_CHECKS_FILE, production_checks_schema())


def write_budgets(lines: Sequence[BudgetLine], root: UPath, taken_at: datetime) -> ExportedFile:
    """Write the budgets as they are now to one file below `root`.

    Raises:
        OSError: the storage cannot be written.
    """
    rows = [_Budget.of(line, taken_at) for line in lines]
    return export_records([rows] if rows else [], root / BUDGETS_FILE, budgets_schema())


def write_missing_tables(root: UPath) -> None:
    """Let the metrics be built before anything was exported, and over days an older release exported.

    A file with all columns and no row lies beside the days: the union of the files then has every column.

    Raises:
        OSError: the storage cannot be written.
    """
    write_empty(root / CALLS_FOLDER / _COLUMNS_FILE, calls_schema())
    write_empty(root / ATTEMPTS_FOLDER / _COLUMNS_FILE, attempts_schema())
    for name, schema in (
        (DAYS_FILE, days_schema()),
        (EVALUATIONS_FILE, evaluations_schema()),
        (PRODUCTION_CHECKS_FILE, production_checks_schema()),
        (BUDGETS_FILE, budgets_schema()),
    ):
        if not is_there(root / name):
            write_empty(root / name, schema)


@dataclass(frozen=True, slots=True)
class _Budget:
    """A budget line as its file has it."""

    scope: str
    window: str
    cap_nano_usd: int | None
    spent_nano_usd: int
    ambiguous_nano_usd: int
    reserved_nano_usd: int
    frozen: bool
    today_nano_usd: int
    mean_day_nano_usd: int
    month_projection_nano_usd: int
    taken_at: datetime

    @classmethod
    def of(cls, line: BudgetLine, taken_at: datetime) -> _Budget:
        """The line, with the time it was taken."""
        names = [name for name in cls.__dataclass_fields__ if name != "taken_at"]
        return cls(**{name: getattr(line, name) for name in names}, taken_at=taken_at)
