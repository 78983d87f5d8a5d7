"""Dagster's web server and daemon as processes that are killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.provider import ROOT

LOCATION = ["-m", "benchmarks.instance_location"]
LOADED = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
READY_S = 120.0
LOOK_S = 0.2
DAEMONS = ("BACKFILL", "SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING", "EVENT_LOG_CONSUMER")
# Every few seconds the daemon starts again what died; and a backfill waits for the code location, see docs/backfill.md.
HURRIED = {
    "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "2",
    "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1",
}


class Server:
    """A process in a group of its own, with the code server and the runs that it starts.

    Args:
        is_ready: whether it does its work; told when it was started (epoch seconds).
    """

    def __init__(self, command: list[str], log: Path, is_ready: Callable[[float], bool]) -> None:
        self._command = command
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []

    def start(self) -> float:
        """Start it, and return when it is ready; the seconds that took.

        Raises:
            RuntimeError: it ended, or is not ready in time.
        """
        began = time.time()
        environment = {**os.environ, **HURRIED, "PYTHONPATH": str(ROOT)}
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
            )
        self._groups.append(self._process.pid)
        while not self._is_ready(began):
            if self._process.poll() is not None or time.time() - began > READY_S:
                raise RuntimeError(f"{self._command} does not start: {self.log()[-3000:]}")
            time.sleep(LOOK_S)
        return time.time() - began

    def kill(self, *, runs: bool) -> None:
        """SIGKILL it with its code server; with `runs`, also the processes of runs that it started."""
        assert self._process is not None
        while victims := [pid for pid in _members(self._process.pid) if runs or not is_run_worker(pid)]:
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.01)
        self._process.wait()

    def end(self) -> None:
        """Kill whatever it ever started."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(errors="replace")


class WebServer(Server):
    """`dagster-webserver`, and questions to it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        command = [sys.executable, "-W", "ignore", "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(self._port)]
        super().__init__([*command, *LOCATION], folder / "webserver.log", lambda _: self._answers())

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a GraphQL query.

        Raises:
            OSError: it does not answer.
            RuntimeError: it answers with errors.
        """
        payload = json.dumps({"query": query, "variables": variables}).encode()
        url, kind = f"http://127.0.0.1:{self._port}/graphql", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, payload, kind), timeout=60) as answer:
            found = json.load(answer)
        if "errors" in found:
            raise RuntimeError(str(found["errors"]))
        return found["data"]

    def runs(self) -> dict[str, str]:
        """The status of every run, as the UI shows it."""
        found = self.ask("{ runsOrError { ... on Runs { results { runId status } } } }")["runsOrError"]["results"]
        return {run["runId"]: run["status"] for run in found}

    def _answers(self) -> bool:
        try:
            return bool(self.ask(LOADED)["repositoriesOrError"].get("nodes"))
        except OSError:
            return False


class Daemon(Server):
    """`dagster-daemon`, with the code server that it starts and that runs are children of."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.instance_daemon", "run"]
        super().__init__([*command, *LOCATION], folder / "daemon.log", self._has_shown_itself)

    def _has_shown_itself(self, since: float) -> bool:
        beats = self._instance.get_daemon_heartbeats()
        return all(name in beats and beats[name].timestamp > since for name in DAEMONS)


def is_run_worker(pid: int) -> bool:
    """Whether this is a live process that a code server made for a run."""
    try:
        return b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _members(group: int) -> list[int]:
    """The live processes of a group."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found
