"""Worker processes of a test, started, watched and killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
PATIENCE_S = 40
WAITING_ROLES = ("hold", "probe", "lead")


class Team:
    """Worker processes on one store."""

    def __init__(self, starter: IO[str], folder: Path, url: str, lease_s: float) -> None:
        self.starter = starter
        self.folder = folder
        self.url = url
        self.lease_s = lease_s
        self.names: list[str] = []
        self.waiting: set[str] = set()

    def start(self, role: str, name: str, number: int) -> None:
        self.names.append(name)
        if role in WAITING_ROLES:
            self.waiting.add(name)
        line = [self.url, self.lease_s, role, name, str(self.folder / name), number]
        self.starter.write(json.dumps(line) + "\n")
        self.starter.flush()

    def go(self) -> None:
        for name in self.names:
            self.pid(name)
        (self.folder / "start").touch()

    def pid(self, name: str) -> int:
        return self.result(f"{name}.ready")

    def result(self, name: str) -> int:
        path = self.folder / name
        for _ in range(PATIENCE_S * 200):
            if path.exists():
                return json.loads(path.read_text())
            time.sleep(0.005)
        raise AssertionError(f"no {name} after {PATIENCE_S} s")

    def results(self) -> list[int]:
        return [self.result(name) for name in self.names]

    def end(self) -> None:
        """Kill those that wait to be killed."""
        for name in sorted(self.waiting):
            self.kill(name)

    def kill(self, name: str) -> None:
        """Kill a worker and wait until the system has forgotten it."""
        self.waiting.discard(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(name), signal.SIGKILL)
            while True:
                os.kill(self.pid(name), 0)
                time.sleep(0.001)


@contextlib.contextmanager
def worker_starter(*options: str) -> Iterator[IO[str]]:
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin
        yield process.stdin
