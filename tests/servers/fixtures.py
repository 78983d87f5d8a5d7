"""Fixtures around the loopback servers; the root conftest imports them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.openai_server import OpenAIServer

from resources.database import schema
from resources.database.session import open_database


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="session")
def upgraded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database on the current schema, to be copied: upgrading takes half a second, copying none."""
    path = tmp_path_factory.mktemp("sqlite") / "upgraded.db"
    database = open_database(f"sqlite:///{path}")
    schema.upgrade(database)
    database.dispose()
    return path
