"""A running Dagster (web server, daemon, code server) reacts to files, once, and to nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.storage.tags import SCHEDULE_NAME_TAG
from live.dagster_processes import dagster_running, wait_until

from orchestration.environments import Environment
from orchestration.instance import open_instance
from resources.database.repositories import dataset_versions, gate_decisions
from resources.database.session import open_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REACTION_S = 150.0
QUIET_S = 50.0
COLOURS = {"red": ["rose", "brick", "cherry", "ruby"], "blue": ["sea", "sky", "sapphire", "denim"]}


def write_rows(path: Path, first: int, last: int) -> None:
    rows = [
        f"{word} number {n},{label}" for label, words in COLOURS.items() for word in words for n in range(first, last)
    ]
    part = path.with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text("\n".join(["text,label", *rows]) + "\n")
    part.rename(path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a catalog of one task; the environment variables point at them."""
    spec = {
        "name": "colours",
        "dataset": {"source": "../rows.csv", "inputs": ["text"], "output": "label"},
        "prompt": {
            "model": "offline/nearest",
            "system_prompt": "Name the colour.",
            "output_prompt": "Text: {{ text }}",
            "output": {"kind": "choice", "choices": ["red", "blue"]},
        },
        "evaluators": [{"kind": "choice_label"}],
        "optimizer": {"kind": "bootstrap_random_search", "candidates": 2, "max_bootstrapped": 2, "max_labeled": 4},
        "optimize": "automatic",
    }
    tasks = tmp_path / "catalog" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "colours.yaml").write_text(yaml.safe_dump(spec))
    write_rows(tmp_path / "catalog" / "rows.csv", 0, 8)
    monkeypatch.setenv("PROMPTORY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROMPTORY_CATALOG", str(tmp_path / "catalog"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    (tmp_path / "home" / "dagster").mkdir(parents=True)
    (tmp_path / "home" / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    promptory = Path(sys.executable).with_name("promptory")
    subprocess.run([promptory, "db", "upgrade"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def dagster_log(home: Path) -> Iterator[Path]:
    """All of Dagster's processes run meanwhile; the path of their log."""
    with dagster_running(home) as server:
        yield server.log


def finished_runs() -> list[tuple[str, tuple[str, ...]]]:
    """Every run as (status, its assets), but for those of the clock, whose hour may fall into the test."""
    with open_instance(Environment.read()) as instance:
        return [
            (run.status.value, tuple(sorted(key.to_user_string() for key in run.asset_selection or ())))
            for run in instance.get_runs()
            if SCHEDULE_NAME_TAG not in run.tags
        ]


def decisions() -> int:
    environment = Environment.read()
    database = open_database(environment.database)
    with database.session(read_only=True) as session:
        found = len(gate_decisions.list_gate_decisions(session, "colours"))
    database.dispose()
    return found


def dataset_rows() -> list[int]:
    database = open_database(Environment.read().database)
    with database.session(read_only=True) as session:
        rows = [version.rows for version in dataset_versions.list_dataset_versions(session, "colours")]
    database.dispose()
    return sorted(rows)


def all_finished(count: int) -> bool:
    runs = finished_runs()
    return len(runs) == count and all(status == dg.DagsterRunStatus.SUCCESS.value for status, _ in runs)


def test_a_dropped_file_leads_to_a_decision_and_a_touch_to_nothing(home: Path, dagster_log: Path) -> None:
    assert wait_until(lambda: all_finished(2), REACTION_S), (finished_runs(), dagster_log.read_text()[-4000:])
    downstream = ("evaluation", "optimization_run", "promotion")
    assert {assets for _, assets in finished_runs()} == {("dataset", "prompt_version"), downstream}
    assert (dataset_rows(), decisions()) == ([64], 1)

    write_rows(home / "home" / "landing" / "colours" / "more.csv", 8, 10)
    assert wait_until(lambda: all_finished(4), REACTION_S), (finished_runs(), dagster_log.read_text()[-4000:])
    assert dataset_rows() == [64, 80]
    assert decisions() == 2

    for path in (home / "catalog" / "rows.csv", home / "home" / "landing" / "colours" / "more.csv"):
        path.touch()
    assert not wait_until(lambda: len(finished_runs()) != 4, QUIET_S), finished_runs()
