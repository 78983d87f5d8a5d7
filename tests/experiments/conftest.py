"""A database with a task, two prompt versions and, on demand, a started experiment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from experiments.laboratory import Laboratory

from resources.database.session import open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of both kinds, on the current schema."""
    if request.param == "postgresql":
        return request.getfixturevalue("upgraded_postgres_url")
    path = tmp_path / "promptory.db"
    shutil.copyfile(request.getfixturevalue("upgraded_file"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def lab(url: str) -> Iterator[Laboratory]:
    """On both kinds of database."""
    database = open_database(url)
    yield Laboratory(database, url).prepare()
    database.dispose()


@pytest.fixture
def http_lab(url: str) -> Iterator[Laboratory]:
    """The same, with prompts for a loopback server's model."""
    database = open_database(url)
    yield Laboratory(database, url, "openai/scripted").prepare()
    database.dispose()


@pytest.fixture
def small_url(upgraded_file: Path, tmp_path: Path) -> str:
    """SQLite alone, for what does not depend on the database."""
    path = tmp_path / "promptory.db"
    shutil.copyfile(upgraded_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def small_lab(small_url: str) -> Iterator[Laboratory]:
    database = open_database(small_url)
    yield Laboratory(database, small_url).prepare()
    database.dispose()


@pytest.fixture
def small_http_lab(small_url: str) -> Iterator[Laboratory]:
    database = open_database(small_url)
    yield Laboratory(database, small_url, "openai/scripted").prepare()
    database.dispose()
