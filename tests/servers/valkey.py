"""A real Redis-compatible server for the tests: one per test process, a namespace of its own per test."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Iterator

import pytest

from benchmarks.valkey import ValkeyServer

__all__ = ["ValkeyServer", "forgetful_server", "redis_url", "shared_valkey", "valkey_server"]


@functools.cache
def shared_valkey() -> ValkeyServer:
    """The one server of this test process, ended with it. For tests that cannot take a fixture."""
    server = ValkeyServer()
    server.start()
    atexit.register(server.__exit__)
    return server


@pytest.fixture
def redis_url() -> str:
    """The URL of an empty state store on a real server."""
    return shared_valkey().url()


@pytest.fixture
def valkey_server() -> Iterator[ValkeyServer]:
    """A server of the test's own, to be stopped and started at will, that keeps its data."""
    with ValkeyServer(keeps=True) as server:
        yield server


@pytest.fixture
def forgetful_server() -> Iterator[ValkeyServer]:
    """A server of the test's own that forgets everything when it stops."""
    with ValkeyServer() as server:
        yield server
