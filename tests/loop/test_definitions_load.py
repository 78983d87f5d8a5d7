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

MOST_TIMES_DAGSTER = 1.5
ROUNDS = 3
# A disturbed measurement is repeated; one that is too slow stays so.
MOST_ROUNDS = 9
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
def load(make_workplace: Callable[..., Workplace], with_dbt: Any, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs an import in a fresh interpreter: CPU seconds it took, and which of the heavy modules it loaded.

    Bytecode is kept between interpreters, as wherever the project is installed, even if this one writes none.
    """
    place = with_dbt(make_workplace())
    bytecode = request.config.cache.mkdir("loop-bytecode")
    inherited = {name: value for name, value in place.variables().items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables = {**inherited, "PYTHONPYCACHEPREFIX": str(bytecode)}

    def run(statement: str) -> dict[str, Any]:
        code = (
            f"import time; {statement}; spent = time.process_time(); import json, sys; "
            f"print(json.dumps([spent, [name for name in {HEAVY!r} if name in sys.modules]]))"
        )
        program = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(program, cwd=CHECKOUT, env=variables, capture_output=True, text=True, check=True)
        spent, heavy = json.loads(done.stdout)
        return {"cpu_s": spent, "heavy": heavy}

    return run


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_loading_them_takes_little_more_than_dagster_does(load: Callable[..., Any]) -> None:
    best = {DAGSTER: float("inf"), OURS: float("inf")}
    for statement in best:
        load(statement)  # compiles what nobody compiled yet
    for number in range(MOST_ROUNDS):
        for statement in best:
            best[statement] = min(best[statement], load(statement)["cpu_s"])
        ratio = best[OURS] / best[DAGSTER]
        if number + 1 >= ROUNDS and ratio <= MOST_TIMES_DAGSTER:
            break
    told = f"definitions {best[OURS]:.2f} s CPU, dagster {best[DAGSTER]:.2f} s, ratio {ratio:.2f}"
    sys.stderr.write(f"{told}\n")
    assert ratio <= MOST_TIMES_DAGSTER, told


def test_loading_them_imports_nothing_heavy(load: Callable[..., Any]) -> None:
    assert load(OURS)["heavy"] == []


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
