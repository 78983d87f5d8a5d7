"""Desks of the evaluations' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from evaluation.desk import PRICE, VECTOR_PRICE, Desk
from servers.billing import Tariff
from servers.openai_server import OpenAIServer

TARIFF = Tariff(PRICE["input_per_million"], PRICE["output_per_million"])
VECTOR_TARIFF = Tariff(VECTOR_PRICE["input_per_million"], VECTOR_PRICE["output_per_million"])


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(tariffs={"scripted": TARIFF, "judge": TARIFF, "vectors": VECTOR_TARIFF}) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, server: OpenAIServer) -> Iterator[Desk]:
    made = Desk(tmp_path, server)
    yield made
    made.database.dispose()
