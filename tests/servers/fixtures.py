"""Fixtures around the loopback servers; the root conftest imports them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.openai_server import OpenAIServer


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server
