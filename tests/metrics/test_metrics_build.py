"""From ledger rows to marts, through the Dagster assets; every figure is summed again in Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import quantiles
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from metrics.outbox import RANGE_END, RANGE_START, changed, record, write_late
from sqlalchemy import text

from assets.costs.call_log import call_log
from assets.costs.dashboard import dashboard
from assets.costs.evaluation_history import evaluation_history
from assets.costs.reconciliation import ledger_equals_marts
from resources.database_resource import DatabaseResource
from resources.metrics.dbt_project import PreparedProject
from resources.metrics.reconciliation import Reconciliation, reconcile
from resources.metrics_resource import MetricsResource, dbt_cli_resource
from resources.storage_resource import StorageResource

FIRST = datetime(2026, 11, 19, tzinfo=UTC)
DAYS = 3
PROMPTS = ("a" * 64, "b" * 64, None)


@dataclass
class Built:
    """A ledger with its marts."""

    ledger: Any
    resources: dict[str, Any]
    exported: dg.ExecuteInProcessResult
    built: dg.ExecuteInProcessResult

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.resources["metrics"].connect() as connection:
            return connection.execute(query).fetchall()


def fill(ledger: Any) -> None:
    """Three days of calls of every kind."""
    rng = random.Random(20261119)
    paid = []
    for number in range(300):
        finished_at = FIRST + timedelta(days=number % DAYS, seconds=rng.randrange(10, 86_000))
        fields: dict[str, Any] = {
            "finished_at": finished_at,
            "purpose": rng.choice(["evaluate", "batch", "provider_batch", "optimize"]),
            "task": rng.choice(["support_triage", "refund_extraction", None]),
            "prompt_version_id": rng.choice(PROMPTS),
            "latency_s": rng.random(),
        }
        kind = rng.random()
        if kind < 0.6:
            paid.append(ledger.call((rng.randrange(1, 10**9),), **fields))
        elif kind < 0.7:
            ledger.call(tuple(rng.randrange(1, 10**6) for _ in range(3)), **fields)
        elif kind < 0.8 and paid:
            origin = rng.choice(paid)["call_id"]
            ledger.call(**fields | {"cached": True, "origin_call_id": origin, "latency_s": 0.0})
        elif kind < 0.9:
            ledger.call((0,), **fields | {"status": "fallback", "reason": "provider_error", "model": None})
        else:
            fallen_back = ledger.call((70,), **fields | {"model": "openai/gpt-4o", "attempts": 2, "cost_nano_usd": 75})
            ledger.attempt(fallen_back["call_id"], 5, charge="ambiguous", outcome="timeout", finished_at=finished_at)
    ledger.attempt("killed", 123, charge="ambiguous", outcome="lost", scopes=["org", "task:refund_extraction"])
    for number, score in enumerate((0.5, 0.625, 0.5625)):
        ledger.evaluation(score, created_at=FIRST + timedelta(hours=number))
    ledger.evaluation(0.9, created_at=FIRST + timedelta(hours=9), dataset_version_id="e" * 64)
    ledger.save()


def resources_over(ledger: Any, folder: Path, prepared: PreparedProject) -> dict[str, Any]:
    return {
        "database": DatabaseResource(url=ledger.url),
        "storage": StorageResource(root=str(folder / "the owner's [v1] storage?*")),
        "metrics": MetricsResource(duckdb_path=str(folder / "marts" / "metrics.duckdb")),
        "dbt": dbt_cli_resource(prepared),
    }


def export(resources: dict[str, Any]) -> dg.ExecuteInProcessResult:
    """All days in one run, as a backfill does it."""
    keys = [(FIRST + timedelta(days=number)).date().isoformat() for number in range(DAYS)]
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    return dg.materialize([call_log], resources=resources, tags=tags)


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory,
    make_ledger: Callable[[Path], Any],
    prepared: PreparedProject,
    dbt_metrics: dg.AssetsDefinition,
) -> Iterator[Built]:
    """To be looked at only: these tests may run in any order, and in several processes."""
    one = build(tmp_path_factory.mktemp("metrics"), make_ledger, prepared, dbt_metrics)
    yield one
    one.ledger.database.dispose()


@pytest.fixture
def changeable(
    tmp_path: Path,
    make_ledger: Callable[[Path], Any],
    prepared: PreparedProject,
    dbt_metrics: dg.AssetsDefinition,
) -> Iterator[Built]:
    one = build(tmp_path, make_ledger, prepared, dbt_metrics)
    yield one
    one.ledger.database.dispose()


def build(
    folder: Path, make_ledger: Callable[[Path], Any], prepared: PreparedProject, dbt_metrics: dg.AssetsDefinition
) -> Built:
    ledger = make_ledger(folder)
    fill(ledger)
    resources = resources_over(ledger, folder, prepared)
    exported = export(resources)
    return Built(
        ledger, resources, exported, dg.materialize([evaluation_history, dbt_metrics, dashboard], resources=resources)
    )


def test_one_run_exports_many_days(built: Built) -> None:
    events = built.exported.asset_materializations_for_node("call_log")
    by_day = {event.partition: event.metadata for event in events}
    assert sorted(by_day) == ["2026-11-19", "2026-11-20", "2026-11-21"]
    for day, metadata in by_day.items():
        calls = [row for row in built.ledger.calls if row["finished_at"].date().isoformat() == day]
        cost = sum(row["cost_nano_usd"] for row in built.ledger.attempts if str(row["finished_at"].date()) == day)
        answered = [row for row in calls if row["status"] == "ok"]
        assert metadata["calls"].value == len(calls)
        assert metadata["dollars"].value == pytest.approx(cost / 1e9)
        assert metadata["cache_hit_rate"].value == sum(row["cached"] for row in answered) / len(answered)
        assert Path(str(metadata["calls_path"].value)).is_file()
        assert "support_triage" in str(metadata["spending"].value)


def test_every_dbt_test_is_a_check_that_passed(built: Built, dbt_metrics: dg.AssetsDefinition) -> None:
    evaluations = built.built.get_asset_check_evaluations()
    assert {(each.asset_key, each.check_name) for each in evaluations} == {
        (key.asset_key, key.name) for key in dbt_metrics.check_keys
    }
    # The killed process's attempt has no call: a warning, and money that must not get lost.
    assert [each.check_name for each in evaluations if not each.passed] == [
        "relationships_stg_attempts_call_id__call_id__ref_stg_calls_"
    ]


def test_a_build_is_few_events(built: Built) -> None:
    assert len(built.built.all_events) < 100


def test_the_ledger_s_money_is_in_the_mart(built: Built) -> None:
    expected: dict[date, int] = defaultdict(int)
    for row in built.ledger.attempts:
        expected[row["finished_at"].date()] += row["cost_nano_usd"]
    rows = built.rows("select day, sum(cost_nano_usd)::bigint, sum(cost_usd) from calls_by_day group by day")
    assert {day: nano for day, nano, _ in rows} == expected
    assert {day: usd for day, _, usd in rows} == {day: Decimal(nano) / 10**9 for day, nano in expected.items()}


def test_the_dashboard_shows_the_ledger_s_money(built: Built) -> None:
    (event,) = built.built.asset_materializations_for_node("dashboard")
    cost = sum(row["cost_nano_usd"] for row in built.ledger.attempts)
    assert event.metadata["cost_usd"].value == pytest.approx(cost / 1e9)
    assert event.metadata["calls"].value == len(built.ledger.calls)
    assert "data:image/png" in str(event.metadata["cost"].value)
    page = Path(str(event.metadata["path"].value)).read_text()
    assert f"${cost / 1e9:,.2f}" in page
    assert page.count("<svg") == 4
    assert "90.0 % [80.0 – 100.0]" in page


def test_calls_by_day_counts_each_group(built: Built) -> None:
    expected: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    by_call = {row["call_id"]: row for row in built.ledger.calls}
    for row in built.ledger.calls:
        key = (row["finished_at"].date(), row["task"], row["purpose"], row["model"] or row["requested_model"])
        expected[key][0] += 1
        expected[key][1] += row["cached"]
    for row in built.ledger.attempts:
        call = by_call.get(row["call_id"], {"task": "refund_extraction", "purpose": "unrecorded"})
        cell = expected[row["finished_at"].date(), call["task"], call["purpose"], row["model"]]
        cell[2] += row["cost_nano_usd"]
        cell[3] += row["cost_nano_usd"] if row["charge"] == "ambiguous" else 0
    rows = built.rows(
        "select day, task, purpose, model, calls, cache_hits, cost_nano_usd, ambiguous_nano_usd from calls_by_day"
    )
    assert {row[:4]: list(row[4:]) for row in rows} == expected


def test_cost_per_prompt_version_and_answer(built: Built) -> None:
    expected: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in built.ledger.calls:
        cell = expected[row["prompt_version_id"], row["task"], row["purpose"]]
        cell[0] += row["cost_nano_usd"]
        cell[1] += row["status"] == "ok"
    expected[None, "refund_extraction", "unrecorded"] = [123, 0]
    rows = built.rows(
        "select prompt_version_id, task, purpose, cost_nano_usd, answered, cost_per_answer_nano_usd "
        "from cost_by_prompt_version"
    )
    assert {row[:3]: list(row[3:5]) for row in rows} == expected
    for *_, cost, answered, per_answer in rows:
        assert per_answer == pytest.approx(cost / answered, abs=0.5) if answered else per_answer is None


def test_latency_leaves_out_what_no_model_answered(built: Built) -> None:
    expected: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row in built.ledger.calls:
        if row["status"] == "ok" and not row["cached"] and row["purpose"] != "provider_batch":
            key = (row["finished_at"].date(), row["task"], row["purpose"], row["model"])
            expected[key].append(row["latency_s"])
    rows = built.rows("select day, task, purpose, model, calls, p50_s, p95_s, max_s from latency_percentiles")
    assert {row[:4] for row in rows} == set(expected)
    for *key, calls, p50, p95, slowest in rows:
        latencies = expected[tuple(key)]
        assert (calls, slowest) == (len(latencies), max(latencies))
        if calls > 1:
            cuts = quantiles(latencies, n=100, method="inclusive")
            assert (p50, p95) == (pytest.approx(cuts[49]), pytest.approx(cuts[94]))


def test_the_cache_saved_what_the_origins_cost(built: Built) -> None:
    costs = {row["call_id"]: row["cost_nano_usd"] for row in built.ledger.calls}
    hits = [row for row in built.ledger.calls if row["cached"]]
    ((answered, cache_hits, saved),) = built.rows(
        "select sum(answered)::int, sum(cache_hits)::int, sum(saved_nano_usd)::bigint from cache_hit_rate"
    )
    assert answered == sum(row["status"] == "ok" for row in built.ledger.calls)
    assert cache_hits == len(hits) > 10
    assert saved == sum(costs[row["origin_call_id"]] for row in hits)
    assert built.rows("select * from cache_hit_rate where hit_rate <> cache_hits / answered") == []


def test_evaluations_are_compared_on_the_same_rows(built: Built) -> None:
    rows = built.rows("select score, score_change, nth from evaluation_history order by created_at")
    assert rows == [(0.5, None, 1), (0.625, 0.125, 2), (0.5625, -0.0625, 3), (0.9, None, 1)]


def test_nothing_is_left_behind(built: Built) -> None:
    marts = Path(built.resources["metrics"].duckdb_path).parent
    assert sorted(path.name for path in marts.iterdir()) == ["dbt_runs", "metrics.duckdb", "metrics.duckdb.project"]
    assert list((marts / "dbt_runs").iterdir()) == []


# From here on the marts of `built` are changed.


def set_against(ledger: Any, resources: dict[str, Any]) -> Reconciliation:
    with resources["metrics"].connect() as marts:
        return reconcile(ledger.database, marts, FIRST.date())


def rows(resources: dict[str, Any], query: str) -> list[tuple[Any, ...]]:
    with resources["metrics"].connect() as marts:
        return marts.execute(query).fetchall()


def test_a_late_attempt_changes_its_day_and_no_other(changeable: Built, dbt_metrics: dg.AssetsDefinition) -> None:
    ledger, resources = changeable.ledger, changeable.resources
    before = dict(rows(resources, "select day, sum(cost_nano_usd)::bigint from usage_by_day group by day"))
    # Marts that were not built anew keep what somebody wrote into them.
    with duckdb.connect(resources["metrics"].duckdb_path) as marts:
        marts.execute("update usage_by_day set input_tokens = input_tokens + 1000000 where day = '2026-11-20'")
    late = FIRST + timedelta(hours=5)
    write_late(ledger.url, record("late", "dead", 777, late, late + timedelta(seconds=2)))
    assert changed(ledger) == [FIRST.date()]
    growing = set_against(ledger, resources)
    assert (growing.differences, growing.growing) == ((), 1)

    tags = {RANGE_START: FIRST.date().isoformat(), RANGE_END: (FIRST + timedelta(days=DAYS - 1)).date().isoformat()}
    config = {"ops": {"call_log": {"config": {"changed_only": True}}}}
    exported = dg.materialize([call_log], resources=resources, tags=tags, run_config=config)
    again = dg.materialize([dbt_metrics, ledger_equals_marts], resources=resources)

    assert again.success
    written = [one for one in exported.asset_materializations_for_node("call_log") if "attempts_path" in one.metadata]
    assert [one.partition for one in written] == ["2026-11-19"]
    after = dict(rows(resources, "select day, sum(cost_nano_usd)::bigint from usage_by_day group by day"))
    assert after == {**before, FIRST.date(): before[FIRST.date()] + 777}
    assert rows(resources, "select sum(input_tokens) >= 1000000 from usage_by_day where day = '2026-11-20'") == [
        (True,)
    ]
    assert changed(ledger) == []


def test_a_mart_that_differs_fails_the_check_and_names_the_day(changeable: Built) -> None:
    ledger, resources = changeable.ledger, changeable.resources
    with duckdb.connect(resources["metrics"].duckdb_path) as marts:
        marts.execute(
            "update usage_by_day set cost_nano_usd = cost_nano_usd + 1 where rowid = "
            "(select min(rowid) from usage_by_day where day = '2026-11-20')"
        )
    found = set_against(ledger, resources)
    assert {(one.day.isoformat(), one.against, one.nano_usd) for one in found.differences} == {
        ("2026-11-20", "export", 1),
        ("2026-11-20", "ledger", 1),
    }
    assert "2026-11-20" in found.sentence

    job = dg.define_asset_job("check", selection=dg.AssetSelection.all_asset_checks())
    checking = dg.Definitions(asset_checks=[ledger_equals_marts], jobs=[job], resources=resources)
    run = checking.resolve_job_def("check").execute_in_process(raise_on_error=False)
    (evaluation,) = run.get_asset_check_evaluations()
    assert not evaluation.passed
    assert not run.success


def test_a_row_that_got_into_the_ledger_unmarked_is_told(changeable: Built) -> None:
    ledger, resources = changeable.ledger, changeable.resources
    attempt_id = next(row["attempt_id"] for row in ledger.attempts if row["finished_at"].date() == FIRST.date())
    with ledger.database.session() as session:
        raised = text("update attempts set cost_nano_usd = cost_nano_usd + 1 where attempt_id = :attempt_id")
        assert session.connection().execute(raised, {"attempt_id": attempt_id}).rowcount == 1
    found = set_against(ledger, resources)
    assert ("2026-11-19", "ledger") in {(one.day.isoformat(), one.against) for one in found.differences}


def test_broken_money_fails_the_build(
    tmp_path: Path, make_ledger: Callable[[Path], Any], prepared: PreparedProject, dbt_metrics: dg.AssetsDefinition
) -> None:
    ledger = make_ledger(tmp_path)
    ledger.call((500,), finished_at=FIRST + timedelta(hours=1))
    ledger.call((500,), finished_at=FIRST + timedelta(hours=1), cost_nano_usd=499)
    ledger.call(finished_at=FIRST + timedelta(hours=1), cost_nano_usd=-1, attempts=1)
    ledger.evaluation(0.5, score_low=0.6)
    ledger.save()
    resources = resources_over(ledger, tmp_path, prepared)
    export(resources)

    with dg.instance_for_test() as instance:
        result = dg.materialize(
            [evaluation_history, dbt_metrics], resources=resources, instance=instance, raise_on_error=False
        )
        failed = {each.check_name for each in result.get_asset_check_evaluations() if not each.passed}
    ledger.database.dispose()

    assert not result.success
    assert failed >= {"calls_cost_what_their_attempts_cost", "stg_calls_not_negative"}
    assert DagsterDbtCliRuntimeError.__name__ in str(result.filter_events(lambda event: event.is_step_failure)[0])
