"""All of Dagster's processes on a home of a test's own, and what its UI asks of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
READY_S = 120.0

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
# Word for word what the button "Terminate" sends, without its fragments.
TERMINATE = """
mutation Terminate($runIds: [String!]!, $terminatePolicy: TerminateRunPolicy) {
  terminateRuns(runIds: $runIds, terminatePolicy: $terminatePolicy) {
    __typename
    ... on TerminateRunsResult { terminateRunResults { __typename ... on TerminateRunSuccess { run { runId } } } }
  }
}
"""
SENSORS = """
query Sensors($selector: RepositorySelector!) {
  sensorsOrError(repositorySelector: $selector) { ... on Sensors { results { sensorState { id status } } } }
}
"""
STOP = "mutation Stop($id: String!) { stopSensor(id: $id) { __typename } }"
LOCATION = {"repositoryLocationName": "promptory", "repositoryName": "__repository__"}
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
LOG = """
query Log($id: ID!) {
  logsForRun(runId: $id) { ... on EventConnection { events { __typename ... on MessageEvent { message level } } } }
}
"""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_until(condition: Callable[[], bool], seconds: float, every_s: float = 1.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(every_s)
    return False


@dataclass(frozen=True)
class DagsterServer:
    """Web server, daemon and code server of one home."""

    log: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_serving(self) -> bool:
        """Whether it says so, and its port agrees: it says so a moment before."""
        if "Serving dagster-webserver" not in self.log.read_text():
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        payload = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", payload, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def launch(self, job: str, partition: str) -> str:
        """Launch a job on a partition; the run's id."""
        selector = {**LOCATION, "jobName": job}
        tags = [{"key": "dagster/partition", "value": partition}]
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        launched = self.ask(LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def stop_sensors(self) -> None:
        """Let nothing start by itself."""
        for sensor in self.ask(SENSORS, selector=LOCATION)["sensorsOrError"]["results"]:
            stopped = self.ask(STOP, id=sensor["sensorState"]["id"])["stopSensor"]
            assert stopped["__typename"] == "StopSensorMutationResult", stopped

    def terminate(self, run_id: str) -> None:
        found = self.ask(TERMINATE, runIds=[run_id], terminatePolicy="SAFE_TERMINATE")["terminateRuns"]
        assert [one["__typename"] for one in found["terminateRunResults"]] == ["TerminateRunSuccess"], found

    def status(self, run_id: str) -> str:
        return self.ask(STATUS, id=run_id)["runOrError"]["status"]

    def events(self, run_id: str) -> list[dict[str, str]]:
        """The events of a run, log lines included: `__typename`, `message`, `level`."""
        return self.ask(LOG, id=run_id)["logsForRun"]["events"]

    def end_of(self, run_id: str, seconds: float) -> str:
        """The status a run ends in; what it is in then, if it does not end."""
        wait_until(lambda: self.status(run_id) in ENDED, seconds, 0.2)
        return self.status(run_id)


@contextmanager
def dagster_running(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[DagsterServer]:
    """Start them in `folder`, wait until they serve, and end all of them."""
    log = folder / "dagster.log"
    server = DagsterServer(log, free_port())
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "-p", str(server.port)]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=out, stderr=out, start_new_session=True
        )  # fmt: skip
    try:
        assert wait_until(server.is_serving, READY_S), log.read_text()[-4000:]
        yield server
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(READY_S)
        finally:
            _end_group(process.pid)


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
