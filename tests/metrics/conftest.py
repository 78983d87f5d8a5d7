"""A database with the real schema, and builders of ledger rows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.dbt_metrics import build_dbt_metrics
from resources.database.repositories import ledger_days
from resources.database.schema import upgrade
from resources.database.session import Database, open_database
from resources.database.tables import AttemptRow, CallRow, EvaluationRow
from resources.metrics.dbt_project import PreparedProject, prepare_manifest

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Ledger:
    """Adds rows to a database and remembers them as plain dictionaries, for sums that owe nothing to SQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database: Database = open_database(url)
        upgrade(self.database)
        self.calls: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._saved: dict[type, int] = defaultdict(int)

    def call(self, costs: tuple[int, ...] = (), *, finished_at: datetime = NOON, **fields: Any) -> dict[str, Any]:
        """A call with one settled attempt per cost, unless `fields` say otherwise."""
        number = next(self._numbers)
        row: dict[str, Any] = {
            "call_id": f"call-{number:05d}",
            "origin_call_id": None,
            "purpose": "evaluate",
            "task": "support_triage",
            "prompt_version_id": "a" * 64,
            "requested_model": "openai/gpt-4o-mini",
            "model": "openai/gpt-4o-mini",
            "status": "ok",
            "reason": None,
            "cached": False,
            "attempts": len(costs),
            "input_tokens": 10,
            "output_tokens": 2,
            "cost_nano_usd": sum(costs),
            "latency_s": 0.5,
            "started_at": finished_at - timedelta(seconds=1),
            "finished_at": finished_at,
            **fields,
        }
        self.calls.append(row)
        for cost in costs:
            self.attempt(row["call_id"], cost, finished_at=finished_at, model=row["model"] or row["requested_model"])
        return row

    def attempt(
        self, call_id: str, cost: int, *, finished_at: datetime = NOON, charge: str = "settled", **fields: Any
    ) -> dict[str, Any]:
        """An attempt on its own."""
        number = next(self._numbers)
        row: dict[str, Any] = {
            "attempt_id": f"attempt-{number:05d}",
            "call_id": call_id,
            "number": 1,
            "model": "openai/gpt-4o-mini",
            "charge": charge,
            "outcome": "ok",
            "reserved_nano_usd": cost + 1,
            "reserved_input_tokens": 20,
            "reserved_output_tokens": 4,
            "cost_nano_usd": cost,
            "input_tokens": 10,
            "output_tokens": 2,
            "cached_input_tokens": 0,
            "price": {"output_per_million": "0.60", "input_per_million": "0.15"},
            "scopes": ["day:2026-11-21", "task:support_triage"],
            "provider_request_id": None,
            "started_at": finished_at - timedelta(milliseconds=400),
            "finished_at": finished_at,
            "latency_s": 0.4,
            **fields,
        }
        self.attempts.append(row)
        return row

    def evaluation(self, score: float, *, created_at: datetime = NOON, **fields: Any) -> dict[str, Any]:
        """An evaluation of the test split."""
        row: dict[str, Any] = {
            "id": f"evaluation-{next(self._numbers):05d}",
            "task": "support_triage",
            "prompt_version_id": "a" * 64,
            "dataset_version_id": "d" * 64,
            "split": "test",
            "metric": "exact_match",
            "rows": 40,
            "score": score,
            "score_low": score - 0.1,
            "score_high": score + 0.1,
            "summary": {"score": score, "answered": 40},
            "storage_path": "evaluations/x.parquet",
            "created_at": created_at,
            **fields,
        }
        self.evaluations.append(row)
        return row

    def save(self) -> None:
        """Insert what was added since the last save, and mark the days as the core does."""
        with self.database.session() as session:
            for table, rows in (
                (CallRow, self.calls),
                (AttemptRow, self.attempts),
                (EvaluationRow, self.evaluations),
            ):
                new = rows[self._saved[table] :]
                session.add_all(table(**row) for row in new)
                ledger_days.mark(session, "test", {row["finished_at"].date() for row in new if "finished_at" in row})
                self._saved[table] = len(rows)


@pytest.fixture(scope="session")
def make_ledger() -> Callable[[Path], Ledger]:
    """Makes a ledger in a new SQLite file below the given folder."""
    return lambda folder: Ledger(f"sqlite:///{folder}/promptory.db")


@pytest.fixture
def ledger(tmp_path: Path, make_ledger: Callable[[Path], Ledger]) -> Iterator[Ledger]:
    """An empty ledger in a file of its own."""
    made = make_ledger(tmp_path)
    yield made
    made.database.dispose()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedProject:
    """The dbt project, parsed once per test process."""
    return prepare_manifest(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def dbt_metrics(prepared: PreparedProject) -> dg.AssetsDefinition:
    """The models as assets."""
    return build_dbt_metrics(prepared)
