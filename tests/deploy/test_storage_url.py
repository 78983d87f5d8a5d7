"""The loop with a storage root that is no folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from loop.workplace import TASK, Example, csv_text, task_values
from upath import UPath

from orchestration.environments import Environment
from orchestration.launch import run_assets
from resources.database.schema import upgrade
from resources.database.session import open_database
from resources.storage.metric_tables import write_evaluations

pytestmark = pytest.mark.slow
ROOT = "memory://bucket/promptory"


def test_the_loop_works_on_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = tmp_path / "catalog"
    (catalog / "tasks").mkdir(parents=True)
    (catalog / "datasets").mkdir()
    (catalog / "datasets" / "crates.csv").write_text(csv_text([Example(number) for number in range(40)]))
    (catalog / "tasks" / f"{TASK}.yaml").write_text(yaml.safe_dump(task_values()))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    environment = Environment(home=tmp_path / "home", catalog=catalog, config=tmp_path / "none.yaml", storage=ROOT)
    environment.home.mkdir()
    database = open_database(environment.database)
    upgrade(database)
    report = run_assets(environment, TASK, ["dataset", "prompt_version", "optimization_run", "evaluation", "promotion"])
    assert report.materialized[-1] == "promotion"
    stored = {path.path.rpartition(".")[2] for path in UPath(ROOT).rglob("*") if path.is_file()}
    assert {"parquet", "json"} <= stored
    assert not (environment.home / "storage").exists()

    write_evaluations(database, UPath(ROOT))
    assert (UPath(ROOT) / "evaluations.parquet").exists()
    database.dispose()
