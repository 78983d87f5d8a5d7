"""Ticks at moments of the test's choosing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from resources.catalog_resource import CatalogResource
from resources.database.session import Database, open_database
from resources.database_resource import DatabaseResource

TASK: dict[str, Any] = {
    "name": "colours",
    "dataset": {"source": "colours.csv", "inputs": ["text"], "output": "label"},
    "prompt": {"model": "offline/nearest", "output_prompt": "{{ text }}"},
    "evaluators": [{"kind": "exact_match"}],
    "optimizer": {"kind": "labeled_few_shot"},
}


@pytest.fixture
def database_resource(tmp_path: Path) -> DatabaseResource:
    return DatabaseResource(url=f"sqlite:///{tmp_path}/promptory.db")


@pytest.fixture
def database(database_resource: DatabaseResource, upgraded_file: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    opened = open_database(database_resource.url)
    yield opened
    opened.dispose()


@pytest.fixture
def catalog(tmp_path: Path) -> CatalogResource:
    (tmp_path / "catalog" / "tasks").mkdir(parents=True)
    return CatalogResource(folder=str(tmp_path / "catalog"), landing=str(tmp_path / "landing"))


@pytest.fixture
def write_task(tmp_path: Path, catalog: CatalogResource) -> Callable[..., Path]:
    """Writes a task file, by name, with changed sections."""

    def write(name: str = "colours", **changes: Any) -> Path:
        path = tmp_path / "catalog" / "tasks" / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**TASK, "name": name, **changes}, sort_keys=False))
        return path

    return write


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made
