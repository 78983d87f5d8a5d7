"""A whole installation, from the manifests to a promoted prompt: every pod a process, every run a Job, one Postgres,
one Redis, one provider that keeps its own invoice.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.cluster import Cluster, open_cluster, wait_until
from deploy.conftest import for_dagster
from loop.scripted_model import learns
from loop.workplace import KEY_VARIABLE, TARIFFS, TASK, Example, csv_text, over_http, task_values
from redis import Redis
from servers.openai_server import Fault, OpenAIServer
from servers.postgres import PostgresServer
from servers.valkey import ValkeyServer

from benchmarks.machines import can_isolate
from resources.database.session import open_database
from resources.database.tables import AttemptRow, CallRow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_isolate(), reason="pods need root and unshare"),
]
ROWS = 40
PURPOSES = {"optimize", "evaluate"}
LAUNCH = """mutation($tags: [ExecutionTag!]!) { launchRun(executionParams: {
  selector: {repositoryName: "__repository__", repositoryLocationName: "promptory", jobName: "full_loop"},
  runConfigData: {}, executionMetadata: {tags: $tags}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = """{ runsOrError { ... on Runs { results {
  runId jobName status tags { key value } stats { ... on RunStatsSnapshot { stepsSucceeded } } } } } }"""
TERMINATE = """mutation($id: String!) { terminateRun(runId: $id) { __typename } }"""
STOP = """mutation($id: String!) { stopSensor(id: $id) { __typename } }"""
SENSORS = """{ sensorsOrError(repositorySelector: {repositoryName: "__repository__",
  repositoryLocationName: "promptory"}) { ... on Sensors { results { name sensorState { id status } } } } }"""
PARTITION = """mutation($key: String!) { addDynamicPartition(partitionsDefName: "tasks", partitionKey: $key,
  repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "promptory"}) { __typename } }"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresServer, ValkeyServer]]:
    with PostgresServer() as postgres, ValkeyServer(keeps=True) as valkey:
        yield postgres, valkey


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as server:
        yield server


@pytest.fixture
def urls(servers: tuple[PostgresServer, ValkeyServer]) -> dict[str, str]:
    postgres, valkey = servers
    return {
        "PROMPTORY_DATABASE_URL": postgres.url(postgres.create()),
        "DAGSTER_POSTGRES_URL": for_dagster(postgres.url(postgres.create())),
        "PROMPTORY_STATE_URL": valkey.url(),
    }


@pytest.fixture
def cluster(
    request: pytest.FixtureRequest,
    servers: tuple[PostgresServer, ValkeyServer],
    provider: OpenAIServer,
    urls: dict[str, str],
    tmp_path: Path,
) -> Iterator[Cluster]:
    """Migrated, with a web server, a daemon and a code server that are ready."""
    secrets = {"promptory-stores": urls, "promptory-providers": {KEY_VARIABLE: "test-key"}}
    installed = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": "/srv/promptory/app",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    sockets = [servers[0].folder]
    with open_cluster(request.param, tmp_path, secrets, over_http(provider), sockets, installed) as opened:
        opened.node.claim("promptory-data").joinpath("catalog", "tasks").mkdir(parents=True)
        opened.start("Job", "promptory-migration")
        opened.wait_done("promptory-migration")
        for name in ("promptory-code", "promptory-web", "promptory-daemon"):
            opened.start("Deployment", name)
        opened.wait_ready("promptory-code")
        opened.wait_ready("promptory-web")
        opened.wait_loaded()
        yield opened


def write_catalog(cluster: Cluster) -> None:
    """One task, on the volume that all pods share."""
    catalog = cluster.node.claim("promptory-data") / "catalog"
    (catalog / "datasets").mkdir()
    (catalog / "datasets" / "crates.csv").write_text(csv_text([Example(number) for number in range(ROWS)]))
    (catalog / "tasks" / f"{TASK}.yaml").write_text(yaml.safe_dump(task_values(model="openai/scripted")))


def launch_full_loop(cluster: Cluster) -> str:
    """Through the web server, as a person would; the run's id."""
    for sensor in cluster.ask(SENSORS)["sensorsOrError"]["results"]:
        cluster.ask(STOP, id=sensor["sensorState"]["id"])
    write_catalog(cluster)
    cluster.ask(PARTITION, key=TASK)
    return launch(cluster)


def launch(cluster: Cluster) -> str:
    """The whole loop of the task; the run's id."""
    launched = cluster.ask(LAUNCH, tags=[{"key": "dagster/partition", "value": TASK}])["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def finished(cluster: Cluster, run_id: str) -> dict[str, Any]:
    """The run, once it has ended."""

    def ended() -> dict[str, Any] | None:
        runs = {run["runId"]: run for run in cluster.ask(RUNS)["runsOrError"]["results"]}
        return runs[run_id] if runs[run_id]["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

    return wait_until(ended, "the run to end")


def logs(cluster: Cluster) -> str:
    """What the runs' pods wrote, for a failure's message."""
    return "\n".join(pod.container.log()[-4000:] for pod in cluster.api.pods.values() if pod.container)


@pytest.mark.parametrize("cluster", ["production", "step-pods"], indirect=True)
def test_a_run_works_in_its_pods_on_one_budget(cluster: Cluster, provider: OpenAIServer, urls: dict[str, str]) -> None:
    run = finished(cluster, launch_full_loop(cluster))
    assert run["status"] == "SUCCESS", logs(cluster)
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["promptory/provider/openai"] == "true"
    assert tags["dagster/image"] == cluster.node.image.name

    by_step = _executor(cluster) == "kubernetes"
    assert len(cluster.api.started("run_worker")) == 1
    assert len(cluster.api.started("step_worker")) == (5 if by_step else 0)
    assert run["stats"]["stepsSucceeded"] == 5
    refused = [each for each in cluster.api.requests if each.status not in (200, 201, 404)]
    assert refused == []

    attempts = _attempts(urls["PROMPTORY_DATABASE_URL"])
    billed = {line.request_id: line.nano_usd for line in provider.invoice}
    assert {one["request"]: one["cost"] for one in attempts} == billed
    assert {one["purpose"] for one in attempts} >= PURPOSES
    assert _settled(urls["PROMPTORY_STATE_URL"], f"task:{TASK}") == provider.invoice_nano_usd() > 0


@pytest.mark.parametrize("cluster", ["production"], indirect=True)
def test_a_cancelled_run_leaves_within_its_grace_and_goes_on_when_run_again(
    cluster: Cluster, provider: OpenAIServer, urls: dict[str, str]
) -> None:
    provider.faults = lambda _index, _body: Fault(latency_s=1.0)
    run_id = launch_full_loop(cluster)
    wait_until(lambda: len(provider.bodies) > 4, "calls under way")
    (pod,) = [pod for pod in cluster.api.pods.values() if "job-name" in pod.body["metadata"]["labels"]]
    asked_at = time.monotonic()
    cluster.ask(TERMINATE, id=run_id)
    assert pod.container is not None
    wait_until(lambda: pod.container.phase() != "Running", "the pod to end")
    assert time.monotonic() - asked_at < pod.body["spec"]["terminationGracePeriodSeconds"] / 2
    assert finished(cluster, run_id)["status"] == "CANCELED"

    provider.faults = lambda _index, _body: Fault()
    again = launch(cluster)
    assert finished(cluster, again)["status"] == "SUCCESS", logs(cluster)
    attempts = _attempts(urls["PROMPTORY_DATABASE_URL"])
    billed = {line.request_id: line.nano_usd for line in provider.invoice}
    certain = {one["request"]: one["cost"] for one in attempts if one["charge"] == "settled"}
    lost = [one for one in attempts if one["charge"] == "ambiguous"]
    assert certain.items() <= billed.items()
    assert len(billed) - len(certain) <= len(lost)
    repeated = sum(count - 1 for count in Counter(provider.bodies).values())
    assert repeated <= len(lost)


def _executor(cluster: Cluster) -> str:
    (environment,) = [each for each in cluster.objects if each["metadata"]["name"] == "promptory-environment"]
    return environment["data"]["PROMPTORY_EXECUTOR"]


def _attempts(url: str) -> list[dict[str, Any]]:
    database = open_database(url)
    try:
        with database.session(read_only=True) as session:
            rows = session.query(
                AttemptRow.provider_request_id, AttemptRow.cost_nano_usd, AttemptRow.charge, CallRow.purpose
            ).join(CallRow, CallRow.call_id == AttemptRow.call_id)
            return [dict(zip(("request", "cost", "charge", "purpose"), row, strict=True)) for row in rows]
    finally:
        database.dispose()


def _settled(url: str, scope: str) -> int:
    address, _, namespace = url.partition("?namespace=")
    with Redis.from_url(address) as client:
        return int(client.hget(f"{{{namespace}}}:scopes", f"s:{scope}") or 0)
