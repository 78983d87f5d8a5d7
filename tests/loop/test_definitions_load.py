"""What the code location holds, and what loading it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from loop.workplace import CHECKOUT, Workplace

# Time is measured by `benchmarks.definitions_load`; what takes it is the modules.
MOST_TIMES_DAGSTER = 1.5
HEAVY = (
    "pandas",
    "dspy",
    "torch",
    "transformers",
    "google.cloud.aiplatform",
    "litellm",
    "scipy",
    "matplotlib",
)
DAGSTER = "import dagster, dagster_dbt"
OURS = "import orchestration.definitions"


@pytest.fixture
def load(make_workplace: Callable[..., Workplace], with_dbt: Any) -> Callable[[str], set[str]]:
    """Runs an import in a fresh interpreter; the names of the modules that are loaded then."""
    variables = with_dbt(make_workplace()).variables()

    def run(statement: str) -> set[str]:
        program = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            f"{statement}; import json, sys; print(json.dumps([*sys.modules]))",
        ]
        done = subprocess.run(program, cwd=CHECKOUT, env=variables, capture_output=True, text=True, check=True)
        return set(json.loads(done.stdout))

    return run


def test_loading_them_takes_little_more_than_dagster_and_nothing_heavy(load: Callable[[str], set[str]]) -> None:
    ours = load(OURS)
    assert ours.isdisjoint(HEAVY)
    assert len(ours) <= MOST_TIMES_DAGSTER * len(load(DAGSTER))


def test_they_load_from_any_folder(make_workplace: Callable[..., Workplace], with_dbt: Any, tmp_path: Path) -> None:
    place = with_dbt(make_workplace())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = f"{OURS} as location; print(len(location.defs.resolve_all_job_defs()))"
    program = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(program, cwd=elsewhere, env=place.variables(), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    assert list(elsewhere.iterdir()) == []


def test_every_part_is_there(make_workplace: Callable[..., Workplace], with_dbt: Any) -> None:
    from orchestration.definitions import build_definitions

    definitions = build_definitions(with_dbt(make_workplace()).environment)
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    jobs = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}

    groups = {graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert groups == {
        "datasets",
        "prompts",
        "optimization",
        "evaluations",
        "promotions",
        "batch_inference",
        "experiments",
        "costs",
        "metrics",
    }
    assert jobs == {
        "ingest",
        "optimize",
        "evaluate",
        "compress",
        "predict_batches",
        "promote",
        "full_loop",
        "report_experiment",
        "collect_metrics",
        "check_production",
        "reoptimize",
        "compact_ledger",
        "database_retention",
    }
    started = [*(definitions.sensors or ()), *(definitions.schedules or ())]
    by_status = {one.name: one.default_status.value for one in started}
    running = {name for name, status in by_status.items() if status == "RUNNING"}
    assert running == {
        "catalog_files",
        "batch_files",
        "provider_batches",
        "live_experiments",
        "lost_retries",
        "downstream_automation",
        "task_schedules",
        "hourly_metrics",
        "daily_metrics",
    }
    # They cost money, have nobody to tell yet, or nobody said for how long things are kept.
    stopped = {
        "nightly_evaluation",
        "run_failure_alerts",
        "budget_burn_alerts",
        "quality_drift",
        "ledger_compaction",
        "database_retention",
    }
    assert by_status.keys() - running == stopped


def test_every_asset_says_what_it_is(make_workplace: Callable[..., Workplace], with_dbt: Any) -> None:
    from orchestration.definitions import build_definitions

    graph = build_definitions(with_dbt(make_workplace()).environment).resolve_asset_graph()
    assets = [graph.get(key) for key in graph.get_all_asset_keys()]

    assert [one.key for one in assets if one.is_executable and not one.description] == []


def test_every_asset_by_task_or_day_can_be_backfilled(make_workplace: Callable[..., Workplace], with_dbt: Any) -> None:
    from orchestration.backfill.graph import nodes
    from orchestration.definitions import build_definitions

    graph = build_definitions(with_dbt(make_workplace()).environment).resolve_asset_graph()
    partitioned = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned}

    # These follow what happens: reports and checks look at now, files wait to be drained, production is made cheaper.
    as_things_are = {"experiment_report", "production_score", "batch_predictions", "compression"}
    assert partitioned - as_things_are == set(nodes())
    policies = {name: graph.get(dg.AssetKey(name)).backfill_policy for name in nodes()}
    for name, node in nodes().items():
        assert policies[name] is not None
        assert all(policies[name] != policies.get(parent) for parent in node.parents)  # else they would share runs
