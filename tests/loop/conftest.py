"""Workplaces of the loop's tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from loop.watch import Watch
from loop.workplace import KEY_VARIABLE, Example, Workplace, task_values

from resources.metrics.dbt_project import prepare_manifest

MakeWorkplace = Callable[..., Workplace]


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "CATALOG", "CONFIG", "LANDING", "STORAGE", "DATABASE_URL", "STATE_URL"):
        monkeypatch.delenv(f"PROMPTORY_{name}", raising=False)
    monkeypatch.setenv(KEY_VARIABLE, "test-key")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def make_workplace(tmp_path: Path) -> MakeWorkplace:
    """Makes a workplace with one task: `rows` examples, settings, changes to the task file's sections."""

    def make(rows: int = 72, settings: dict[str, Any] | None = None, **task: Any) -> Workplace:
        place = Workplace(tmp_path, settings=settings or {})
        place.write_rows([Example(number) for number in range(rows)])
        place.write_task(task_values(**task))
        return place.prepare()

    return make


@pytest.fixture
def watch(make_workplace: MakeWorkplace, tmp_path: Path) -> Iterator[Watch]:
    """The sensor over the catalog of a workplace with one small task."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Watch(make_workplace(12), instance)


@pytest.fixture(scope="session")
def parsed_dbt(request: pytest.FixtureRequest) -> Path:
    """A home whose dbt project is parsed, kept between test runs: definitions of other homes need not wait for it."""
    home = request.config.cache.mkdir("loop-home")
    prepare_manifest(home)
    return home


@pytest.fixture
def with_dbt(parsed_dbt: Path) -> Callable[[Workplace], Workplace]:
    """Puts the parsed project into a workplace's home."""

    def put(place: Workplace) -> Workplace:
        # Another test process may be parsing there: what it is at comes and goes.
        under_way = shutil.ignore_patterns(".parse-*")
        shutil.copytree(parsed_dbt / "dbt", place.home / "dbt", dirs_exist_ok=True, ignore=under_way)
        return place

    return put
