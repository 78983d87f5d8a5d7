"""A hook to be told, and a database that remembers it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.webhook import Webhook, webhook_server

from resources.database.session import Database, open_database


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook_server() as made:
        yield made


@pytest.fixture
def database(tmp_path: Path, upgraded_file: Path) -> Iterator[Database]:
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    opened = open_database(f"sqlite:///{tmp_path}/promptory.db")
    yield opened
    opened.dispose()
