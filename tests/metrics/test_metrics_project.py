"""Preparing the dbt project: on its own, offline, without heavy imports, and with one clear error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import ConfigurationError, NotFoundError
from resources.metrics import dbt_project
from resources.metrics.dbt_cli import main as dbt
from resources.metrics.dbt_project import PROJECT_FOLDER, prepare_manifest
from resources.metrics_resource import MetricsResource

HEAVY = ["pandas", "dspy", "torch", "transformers", "litellm", "matplotlib", "pyarrow", "duckdb"]

LOAD = f"""
import json, sys
from pathlib import Path
from assets.dbt_metrics import build_dbt_metrics
from resources.metrics.dbt_project import prepare_manifest
dbt_metrics = build_dbt_metrics(prepare_manifest(Path("home")))
print(json.dumps([sorted(set({HEAVY}) & set(sys.modules)), sorted(dbt_metrics.group_names_by_key.values())]))
"""


def test_definitions_load_with_nothing_prepared(tmp_path: Path) -> None:
    before = sorted(PROJECT_FOLDER.rglob("*"))

    loaded = subprocess.run([sys.executable, "-c", LOAD], cwd=tmp_path, capture_output=True, text=True, check=True)

    heavy, groups = json.loads(loaded.stdout.splitlines()[-1])
    assert heavy == []
    assert set(groups) == {"metrics"}
    (manifest,) = (tmp_path / "home").rglob("manifest.json")
    assert json.loads(manifest.read_text())["metadata"]["send_anonymous_usage_stats"] is False
    assert sorted(PROJECT_FOLDER.rglob("*")) == before


def test_the_same_files_are_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Path] = []

    def parse(project: Path, launcher: Path, target: Path) -> None:
        parsed.append(project)
        (target / "manifest.json").write_text("{}")

    monkeypatch.setattr(dbt_project, "_parse", parse)
    project = Path(shutil.copytree(PROJECT_FOLDER, tmp_path / "project"))
    first = prepare_manifest(tmp_path, project)
    (project / "models" / "sources.yml").touch()
    (project / "target").mkdir(exist_ok=True)
    (project / "target" / "compiled.sql").write_text("select 1")
    assert prepare_manifest(tmp_path, project) == first
    assert len(parsed) == 1

    with (project / "models" / "sources.yml").open("a") as file:
        file.write("# changed\n")
    assert prepare_manifest(tmp_path, project).manifest != first.manifest
    assert len(parsed) == 2
    assert first.manifest.is_file()  # a process that still uses it is not disturbed


def test_a_project_dbt_cannot_read_is_one_clear_error(tmp_path: Path) -> None:
    project = Path(shutil.copytree(PROJECT_FOLDER, tmp_path / "project"))
    (project / "dbt_project.yml").write_text("name: 1 is not a name\nprofile: promptory\n")
    with pytest.raises(ConfigurationError, match="dbt cannot read the metrics project"):
        prepare_manifest(tmp_path, project)
    assert not list((tmp_path / "dbt").rglob("manifest.json"))


def test_a_home_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigurationError, match="PROMPTORY_HOME"):
        prepare_manifest(tmp_path / "home")


def test_the_version_is_told_without_asking_anybody(capsys: pytest.CaptureFixture[str]) -> None:
    dbt(["--version"])
    assert "installed: 1.11." in capsys.readouterr().out


def test_marts_that_were_never_built_are_one_clear_error(tmp_path: Path) -> None:
    metrics = MetricsResource(duckdb_path=str(tmp_path / "metrics.duckdb"))
    with pytest.raises(NotFoundError, match="never built"), metrics.connect():
        pass
