"""The state stores that processes share, each on its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.stores import STATES, Store, open_store


@pytest.fixture(params=STATES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A state file, and a namespace on a server that syncs every write."""
    with open_store(request.param, tmp_path) as opened:
        yield opened
