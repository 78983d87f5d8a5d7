"""A day of the ledger as Parquet: the right rows, whole files, bounded memory."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from domain.errors import SchemaVersionError
from resources.database.session import open_database
from resources.database.tables import Base
from resources.storage import table_export
from resources.storage.call_log import write_day
from resources.storage.call_log_schemas import attempts_schema, calls_schema, evaluations_schema
from resources.storage.metric_tables import write_evaluations, write_missing_tables

DAY = date(2026, 11, 21)


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    return UPath(tmp_path / "storage")


def read(path: UPath) -> pa.Table:
    with path.open("rb") as stream:
        return pq.read_table(stream)


@pytest.mark.parametrize(
    ("table", "schema"),
    [("calls", calls_schema()), ("attempts", attempts_schema()), ("evaluations", evaluations_schema())],
)
def test_every_column_of_the_table_is_exported(table: str, schema: pa.Schema) -> None:
    assert set(schema.names) - {"day"} == set(Base.metadata.tables[table].c.keys())


def test_the_day_is_half_open_and_utc(ledger: Any, root: UPath) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    inside = [
        ledger.call(finished_at=midnight),
        ledger.call(finished_at=midnight + timedelta(days=1, microseconds=-1)),
        ledger.call(finished_at=datetime(2026, 11, 22, 8, tzinfo=timezone(timedelta(hours=9)))),
    ]
    ledger.call(finished_at=midnight - timedelta(microseconds=1))
    ledger.call(finished_at=midnight + timedelta(days=1))
    ledger.save()

    written = read(write_day(ledger.database, root, DAY).calls.path)

    assert set(written["call_id"].to_pylist()) == {row["call_id"] for row in inside}
    assert set(written["day"].to_pylist()) == {DAY}


def test_attempts_keep_their_own_day(ledger: Any, root: UPath) -> None:
    after_midnight = datetime(2026, 11, 22, 0, 0, 1, tzinfo=UTC)
    call = ledger.call(finished_at=after_midnight)
    ledger.attempt(call["call_id"], 5, finished_at=after_midnight - timedelta(seconds=2))
    ledger.save()

    day, next_day = write_day(ledger.database, root, DAY), write_day(ledger.database, root, DAY + timedelta(days=1))

    assert (day.calls.rows, day.attempts.rows, day.summary.cost_nano_usd) == (0, 1, 5)
    assert (next_day.calls.rows, next_day.attempts.rows, next_day.summary.cost_nano_usd) == (1, 0, 0)


def test_values_survive(ledger: Any, root: UPath) -> None:
    big = 9_000_000_000_000_000_000
    call = ledger.call((big,), row_id="é\u2028row", unit_id=None)
    ledger.attempt(call["call_id"], 0, charge="free", price=None, scopes=[])
    ledger.save()

    written = write_day(ledger.database, root, DAY)

    calls, attempts = read(written.calls.path), read(written.attempts.path)
    assert calls.schema.equals(calls_schema())
    assert attempts.schema.equals(attempts_schema())
    (stored,) = calls.to_pylist()
    assert {name: stored[name] for name in call} == call
    paid, free = attempts.to_pylist()
    assert paid["cost_nano_usd"] == big
    assert paid["scopes"] == ["day:2026-11-21", "task:support_triage"]
    assert json.loads(paid["price"]) == {"input_per_million": "0.15", "output_per_million": "0.60"}
    assert (free["price"], free["scopes"]) == (None, [])


def test_an_empty_day_is_a_file_with_columns(ledger: Any, root: UPath) -> None:
    written = write_day(ledger.database, root, DAY)

    assert read(written.calls.path).schema.equals(calls_schema())
    assert read(written.attempts.path).num_rows == 0
    assert written.summary.cache_hit_rate is None
    assert written.summary.latency_p50_s is None


def test_writing_again_replaces(ledger: Any, root: UPath) -> None:
    ledger.call((5,))
    ledger.save()
    first, again = write_day(ledger.database, root, DAY), write_day(ledger.database, root, DAY)
    ledger.call((7,))
    ledger.save()
    changed = write_day(ledger.database, root, DAY)

    assert first.content_id == again.content_id != changed.content_id
    assert read(changed.calls.path).num_rows == 2
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert files == ["call_log/attempts/day=2026-11-21.parquet", "call_log/calls/day=2026-11-21.parquet"]


def test_rows_are_streamed_in_batches(ledger: Any, root: UPath) -> None:
    expected = [ledger.call(finished_at=datetime(2026, 11, 21, 1, 0, n, tzinfo=UTC))["call_id"] for n in range(25)]
    ledger.save()

    path = write_day(ledger.database, root, DAY, batch_rows=10).calls.path

    with path.open("rb") as stream:
        groups = pq.ParquetFile(stream).metadata
        assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [10, 10, 5]
    assert read(path)["call_id"].to_pylist() == expected


def test_a_failed_write_leaves_the_old_file(ledger: Any, root: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.call()
    ledger.save()
    path = write_day(ledger.database, root, DAY).calls.path
    before = path.read_bytes()
    for _ in range(30):
        ledger.call()
    ledger.save()
    written = iter(range(2))

    def disk_full(rows: Any, schema: pa.Schema, day: date | None) -> pa.RecordBatch:
        if next(written, None) is None:
            raise OSError("no space left")
        return real(rows, schema, day)

    real = table_export._record_batch
    monkeypatch.setattr(table_export, "_record_batch", disk_full)
    with pytest.raises(OSError, match="no space left"):
        write_day(ledger.database, root, DAY, batch_rows=10)

    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_summary_counts_what_a_person_asks(ledger: Any, root: UPath) -> None:
    latencies = [0.01 * n for n in range(1, 41)]
    for latency in reversed(latencies):
        ledger.call((100,), latency_s=latency)
    dear = ledger.call((9_000,), task="refund_extraction", latency_s=0.001, status="fallback", reason="deadline")
    ledger.call(cached=True, origin_call_id="call-00001", latency_s=0.0)
    ledger.call((0,), purpose="provider_batch", latency_s=3600.0)
    ledger.attempt("killed", 50, charge="ambiguous", outcome="lost")
    ledger.save()

    summary = write_day(ledger.database, root, DAY).summary

    assert summary.cost_nano_usd == 40 * 100 + 9_000 + 50
    assert summary.ambiguous_nano_usd == 50
    assert (summary.answered, summary.cache_hits) == (42, 1)
    assert summary.cache_hit_rate == 1 / 42
    assert summary.latency_p50_s == latencies[ceil(0.50 * 40) - 1]
    assert summary.latency_p95_s == latencies[ceil(0.95 * 40) - 1]
    assert [(line.task, line.calls, line.cost_nano_usd) for line in summary.spending] == [
        (dear["task"], 1, 9_000),
        ("support_triage", 41, 4_000),
        ("support_triage", 1, 0),
    ]


def test_evaluations_are_written_oldest_first(ledger: Any, root: UPath) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    later = ledger.evaluation(0.75, created_at=noon + timedelta(hours=1))
    earlier = ledger.evaluation(0.5, created_at=noon)
    ledger.save()

    written = write_evaluations(ledger.database, root)

    rows = read(written.path).to_pylist()
    assert [row["id"] for row in rows] == [earlier["id"], later["id"]]
    assert json.loads(rows[0]["summary"]) == earlier["summary"]
    assert written.rows == 2


def test_missing_tables_are_added_beside_what_is_there(ledger: Any, root: UPath) -> None:
    ledger.evaluation(0.5)
    ledger.call((5,))
    ledger.save()
    evaluations, day = write_evaluations(ledger.database, root), write_day(ledger.database, root, DAY)

    write_missing_tables(root)

    assert read(evaluations.path).num_rows == 1
    assert read(day.calls.path).num_rows == 1
    assert read(root / "call_log/calls/columns.parquet").schema.equals(calls_schema())


def test_an_object_store_is_a_storage_root(ledger: Any) -> None:
    ledger.call((5,))
    ledger.save()
    root = UPath("memory://call-log-export")

    written = write_day(ledger.database, root, DAY)
    write_missing_tables(root)

    assert read(written.attempts.path)["cost_nano_usd"].to_pylist() == [5]
    assert (root / "evaluations.parquet").exists()


def test_a_database_without_schema_is_one_clear_error(tmp_path: Path, root: UPath) -> None:
    database = open_database(f"sqlite:///{tmp_path}/empty.db")
    try:
        with pytest.raises(SchemaVersionError, match="promptory db upgrade"):
            write_day(database, root, DAY)
    finally:
        database.dispose()
    assert not root.exists() or not [path for path in root.rglob("*") if path.is_file()]
