"""Old days are removed only when all of it is verified; killed anywhere, nothing is lost and nothing counted twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest
from metrics.conftest import Ledger
from sqlalchemy import func, select, text
from upath import UPath

from domain.errors import ConflictError, InputError, NotFoundError
from jobs.compact_ledger import compact_ledger
from resources.database.repositories import alerts, ledger_days
from resources.database.repositories.spending import scope_totals
from resources.database.tables import AttemptRow, CallRow
from resources.database_resource import DatabaseResource
from resources.lineage.call_trace import trace_call
from resources.metrics.reconciliation import DaySums
from resources.metrics_resource import MetricsResource
from resources.storage import call_log, compaction
from resources.storage.call_log import attempts_path, calls_path, collect_day
from resources.storage.compaction import Compacted, compact_day, days_to_compact, finish_removals
from resources.storage_resource import StorageResource

DAY = date(2026, 9, 1)
MORNING = datetime(2026, 9, 1, 8, tzinfo=UTC)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
IDS = [f"{number:032x}" for number in range(1, 40)]


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    return UPath(tmp_path / "storage")


def fill(ledger: Any, root: UPath) -> dict[date, DaySums]:
    """Thirty calls of an old day, copied; what marts that hold them would say."""
    for number, call_id in enumerate(IDS[:30]):
        at = MORNING + timedelta(minutes=number)
        call = ledger.call(call_id=call_id, finished_at=at, row_id=f"r{number}", cost_nano_usd=10 + number, attempts=1)
        charge = "ambiguous" if number % 7 == 0 else "settled"
        scopes = ["org", "day:2026-09-01", "month:2026-09", "task:support_triage", f"run:{number % 2}"]
        ledger.attempt(call["call_id"], 10 + number, charge=charge, finished_at=at, scopes=scopes)
    ledger.save()
    return collected(ledger, root)


def collected(ledger: Any, root: UPath) -> dict[date, DaySums]:
    day = collect_day(ledger.database, root, DAY, NOW)
    return {DAY: DaySums(day.calls.rows, day.attempts.rows, day.cost_nano_usd, day.ambiguous_nano_usd)}


def compact(ledger: Any, root: UPath, marts: dict[date, DaySums]) -> Compacted:
    (exported,) = days_to_compact(ledger.database, NOW.date(), 40)
    return compact_day(ledger.database, root, marts, exported, NOW)


def counts(ledger: Any) -> tuple[int, int]:
    with ledger.database.session(read_only=True) as session:
        calls, attempts = (session.scalar(select(func.count()).select_from(one)) for one in (CallRow, AttemptRow))
    return calls, attempts


def open_scopes(ledger: Any) -> dict[str, tuple[int, int]]:
    with ledger.database.session(read_only=True) as session:
        return {
            scope: (spent, ambiguous)
            for scope, spent, ambiguous in scope_totals(session)
            if not scope.startswith(("day:", "month:"))
        }


def charged(ledger: Any) -> dict[str, tuple[int, int]]:
    """What the rows that were ever written come to, without SQL."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in ledger.attempts:
        for scope in row["scopes"]:
            if not scope.startswith(("day:", "month:")):
                sums[scope][row["charge"] == "ambiguous"] += row["cost_nano_usd"]
    return {scope: (spent, ambiguous) for scope, (spent, ambiguous) in sums.items()}


def test_a_verified_day_leaves_the_database_and_no_budget_forgets_it(ledger: Any, root: UPath) -> None:
    marts = fill(ledger, root)
    done = compact(ledger, root, marts)
    assert (done.removed_calls, done.removed_attempts, done.kept_because) == (30, 30, None)
    assert counts(ledger) == (0, 0)
    assert open_scopes(ledger) == charged(ledger)
    assert days_to_compact(ledger.database, NOW.date(), 40) == []


def test_a_removed_call_is_still_traced(ledger: Any, root: UPath) -> None:
    compact(ledger, root, fill(ledger, root))
    found = trace_call(ledger.database, root, IDS[6])
    assert found.money.call is not None
    assert found.money.call.row_id == "r6"
    assert [one.cost_nano_usd for one in found.money.attempts] == [16]
    with pytest.raises(InputError, match="several calls"):
        trace_call(ledger.database, root, IDS[6][:8])
    with pytest.raises(NotFoundError):
        trace_call(ledger.database, root, "f" * 32)


def test_a_row_that_comes_between_comparing_and_removing_stays(
    ledger: Any, root: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    marts = fill(ledger, root)
    real = ledger_days.set_removed

    def then_another(session: Any, day: date, now: datetime) -> None:
        real(session, day, now)
        ledger.call((7,), call_id=IDS[33], finished_at=MORNING + timedelta(minutes=2, seconds=1))
        session.add_all((CallRow(**ledger.calls[-1]), AttemptRow(**ledger.attempts[-1])))
        ledger_days.mark(session, "another", [day])

    monkeypatch.setattr(ledger_days, "set_removed", then_another)
    done = compact(ledger, root, marts)
    assert (done.removed_calls, done.removed_attempts) == (30, 30)
    assert counts(ledger) == (1, 1)
    assert open_scopes(ledger) == charged(ledger)
    assert collected(ledger, root)[DAY].attempts == 31


@pytest.mark.parametrize("path", [calls_path, attempts_path])
def test_files_that_cannot_be_read_are_told_and_hold_up_no_other_day(
    ledger: Any, root: UPath, path: Callable[[UPath, date], UPath]
) -> None:
    marts = fill(ledger, root)
    whole = path(root, DAY).read_bytes()
    for damaged in (b"no Parquet", whole[: len(whole) // 2], whole[:-300] + bytes(200) + whole[-100:]):
        path(root, DAY).write_bytes(damaged)
        assert "cannot be read" in (compact(ledger, root, marts).kept_because or "")
    assert counts(ledger) == (30, 30)
    path(root, DAY).write_bytes(whole)
    compact(ledger, root, marts)
    ledger.call((5,), call_id=IDS[32], finished_at=MORNING)
    ledger.save()
    collected(ledger, root)
    path(root, DAY).write_bytes(b"no Parquet")
    (told,) = finish_removals(ledger.database, root)
    assert "backup" in (told.kept_because or "")


@pytest.mark.parametrize("broken", ["marts", "file", "row", "late"])
def test_a_day_that_is_not_what_it_was_stays(ledger: Any, root: UPath, broken: str) -> None:
    marts = fill(ledger, root)
    if broken == "marts":
        marts = {DAY: DaySums(30, 30, marts[DAY].cost_nano_usd - 1, marts[DAY].ambiguous_nano_usd)}
    elif broken == "file":
        calls_path(root, DAY).unlink()
    elif broken == "row":
        with ledger.database.session() as session:
            session.execute(text("update calls set row_id = 'other' where row_id = 'r5'"))
    else:
        ledger.call(call_id=IDS[31], finished_at=MORNING)
        ledger.save()
    done = compact(ledger, root, marts)
    assert done.kept_because is not None
    assert counts(ledger)[1] == 30


def test_a_late_row_of_a_removed_day_joins_the_others(ledger: Any, root: UPath) -> None:
    compact(ledger, root, fill(ledger, root))
    ledger.call((5,), call_id=IDS[32], finished_at=MORNING + timedelta(minutes=3))
    ledger.save()
    assert finish_removals(ledger.database, root) == []  # not copied yet: it must not go

    marts = collected(ledger, root)

    assert marts[DAY].calls == 31
    with calls_path(root, DAY).open("rb") as stream:
        assert len(set(pq.read_table(stream)["call_id"].to_pylist())) == 31
    again = collected(ledger, root)
    assert again == marts
    (done,) = finish_removals(ledger.database, root)
    assert (done.removed_calls, done.removed_attempts) == (1, 1)
    assert collected(ledger, root) == marts
    assert open_scopes(ledger) == charged(ledger)


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("transactions", range(1, 10))
def test_killed_between_any_two_transactions_it_is_finished_later(
    ledger: Any, root: UPath, monkeypatch: pytest.MonkeyPatch, transactions: int
) -> None:
    marts = fill(ledger, root)
    monkeypatch.setattr(compaction, "CHUNK_ROWS", 10)
    real, left = type(ledger.database).session, iter(range(transactions))

    def session(self: Any, *, read_only: bool = False) -> Any:
        if not read_only and next(left, None) is None:
            raise Killed
        return real(self, read_only=read_only)

    with monkeypatch.context() as patch:
        patch.setattr(type(ledger.database), "session", session)
        with suppress(Killed):
            compact(ledger, root, marts)
    assert open_scopes(ledger) == charged(ledger)  # at every moment
    assert collected(ledger, root) == marts  # a collection in between takes nothing away

    finish_removals(ledger.database, root)
    for exported in days_to_compact(ledger.database, NOW.date(), 40):
        compact_day(ledger.database, root, marts, exported, NOW)
    assert counts(ledger) == (0, 0)
    assert open_scopes(ledger) == charged(ledger)
    assert collected(ledger, root) == marts


def test_a_day_that_is_removed_while_it_is_copied_keeps_its_files(
    ledger: Any, root: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    marts = fill(ledger, root)
    before = calls_path(root, DAY).read_bytes()
    real = call_log.calls_of_day

    def overtaken(*arguments: Any, **options: Any) -> Any:
        assert compact(ledger, root, marts).kept_because is None
        yield from real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(call_log, "calls_of_day", overtaken)
        with pytest.raises(ConflictError, match="was compacted while"):
            collected(ledger, root)
    assert calls_path(root, DAY).read_bytes() == before
    assert collected(ledger, root) == marts


def test_it_is_the_same_on_postgresql(upgraded_postgres_url: str, root: UPath) -> None:
    ledger = Ledger(upgraded_postgres_url)
    try:
        marts = fill(ledger, root)
        done = compact(ledger, root, marts)
        assert (done.removed_calls, done.removed_attempts, done.kept_because) == (30, 30, None)
        assert open_scopes(ledger) == charged(ledger)
        assert collected(ledger, root) == marts
        with ledger.database.session() as session:
            assert alerts.claim(session, "budget", ["a", "b"], NOW) == {"a", "b"}
            assert alerts.claim(session, "budget", ["b", "c"], NOW) == {"c"}
    finally:
        ledger.database.dispose()


def test_days_that_something_still_reads_stay(ledger: Any, root: UPath) -> None:
    fill(ledger, root)
    assert [one.day for one in days_to_compact(ledger.database, DAY + timedelta(days=41), 1)] == [DAY]
    assert days_to_compact(ledger.database, DAY + timedelta(days=40), 1) == []


def test_the_job_says_what_it_did(ledger: Any, root: UPath, tmp_path: Path) -> None:
    marts = fill(ledger, root)
    path = tmp_path / "metrics.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table usage_by_day as select * from (values (?::date, 30, 30, ?::bigint, ?::bigint)) "
            "as t (day, calls, attempts, cost_nano_usd, ambiguous_nano_usd)",
            [DAY, marts[DAY].cost_nano_usd, marts[DAY].ambiguous_nano_usd],
        )
    resources = {
        "database": DatabaseResource(url=ledger.url),
        "storage": StorageResource(root=str(root)),
        "metrics": MetricsResource(duckdb_path=str(path)),
    }
    config = {"ops": {"compact": {"config": {"keep_days": 40}}}}
    run = dg.Definitions(jobs=[compact_ledger], resources=resources).resolve_job_def("compact_ledger")
    assert run.execute_in_process(run_config=config).success
    assert counts(ledger) == (0, 0)
    with ledger.database.session(read_only=True) as session:
        days, cost = ledger_days.removed_within(session, None, None)
    assert (days, cost) == (1, marts[DAY].cost_nano_usd)
