"""The state stores that processes share, each on its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos.crowd import Place, ledger_path

from benchmarks.machines import can_isolate
from benchmarks.stores import STATES, Store, open_store


@pytest.fixture(params=STATES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A state file, and a namespace on a server that syncs every write."""
    with open_store(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture(params=[*STATES, "machines"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Both stores with an SQLite ledger on one machine; Redis and PostgreSQL with each process on one of its own."""
    if request.param != "machines":
        with open_store(request.param, tmp_path) as opened:
            yield Place(opened, tmp_path, f"sqlite:///{ledger_path(tmp_path)}")
        return
    if not can_isolate():
        pytest.skip("machines of their own need root and unshare")
    ledger = request.getfixturevalue("upgraded_postgres_url")
    with open_store("redis", tmp_path) as opened:
        yield Place(opened, tmp_path, ledger, apart=True)
