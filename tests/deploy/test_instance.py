"""The deployed instance: which runs it holds back, and which it starts again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._utils.tags import TagConcurrencyLimitsCounter
from loop.workplace import task_values

from assets.failures import clear_failures
from assets.partitions import tasks_partitions
from assets.pools import LLM_POOL
from domain.errors import ConfigurationError, InputError, StateUnavailableError
from orchestration.environments import Environment
from orchestration.executors import choose_executor
from orchestration.provider_queue import PROVIDER_TAG

JUDGE: dict[str, Any] = {"kind": "judge", "model": "vertex/gemini-2.5-flash", "rubric": "Is it right?"}
TASKS: dict[str, dict[str, Any]] = {
    "cheap": task_values(),
    "judged": task_values("openai/gpt-4o-mini", name="judged", evaluators=[{"kind": "choice_label"}, JUDGE]),
    "local": task_values("huggingface/tiny", name="local"),
}


@dg.asset(partitions_def=tasks_partitions, pool=LLM_POOL)
def paid() -> None: ...


@dg.asset(partitions_def=tasks_partitions)
def unpaid() -> None: ...


DEFINITIONS = dg.Definitions(
    assets=[paid, unpaid],
    jobs=[dg.define_asset_job("pay", selection="paid"), dg.define_asset_job("read", selection="unpaid")],
)


@pytest.fixture
def queue(cluster_instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """The instance, with a catalog at hand."""
    folder = tmp_path / "catalog" / "tasks"
    folder.mkdir(parents=True)
    for name, values in TASKS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**values, "name": name}), encoding="utf-8")
    (folder / "broken.yaml").write_text("name: [", encoding="utf-8")
    monkeypatch.setenv("PROMPTORY_CATALOG", str(folder.parent))
    monkeypatch.setenv("PROMPTORY_CONFIG", str(tmp_path / "none.yaml"))
    cluster_instance.add_dynamic_partitions("tasks", ["broken", *TASKS])
    return cluster_instance


def submit(queue: dg.DagsterInstance, job: str, tags: Mapping[str, str]) -> dg.DagsterRun:
    """Enqueue a run as web server and daemon do."""
    place = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("promptory-code", 4000), "__repository__")
    origin = RemoteJobOrigin(place, job)
    run = queue.create_run_for_job(DEFINITIONS.resolve_job_def(job), tags=tags, remote_job_origin=origin)
    submitted = queue.run_coordinator.submit_run(SubmitRunContext(run, workspace=None))  # pyright: ignore
    assert submitted.status is dg.DagsterRunStatus.QUEUED
    return submitted


def providers(run: dg.DagsterRun) -> set[str]:
    return {name.rpartition("/")[2] for name in run.tags if name.startswith(PROVIDER_TAG)}


def test_runs_are_queued_with_the_providers_they_will_ask(queue: dg.DagsterInstance) -> None:
    partition = "dagster/partition"
    assert providers(submit(queue, "pay", {partition: "judged"})) == {"openai", "vertex"}
    assert providers(submit(queue, "pay", {partition: "cheap"})) == {"offline"}
    assert providers(submit(queue, "read", {partition: "judged"})) == set()
    assert providers(submit(queue, "pay", {partition: "broken"})) == set()
    spread = {"dagster/asset_partition_range_start": "cheap", "dagster/asset_partition_range_end": "local"}
    assert providers(submit(queue, "pay", spread)) == {"offline", "openai", "vertex", "huggingface"}


def test_a_provider_that_is_busy_holds_back_its_own_runs_only(queue: dg.DagsterInstance) -> None:
    config = queue.get_concurrency_config().run_queue_config
    assert config is not None
    local = submit(queue, "pay", {"dagster/partition": "local"})
    counter = TagConcurrencyLimitsCounter(config.tag_concurrency_limits, [local])
    assert counter.is_blocked(local)
    assert not counter.is_blocked(submit(queue, "pay", {"dagster/partition": "judged"}))
    assert config.max_concurrent_runs == 25
    assert queue.get_concurrency_config().pool_config.default_pool_limit == 16


@pytest.mark.parametrize(
    ("error", "retried"), [(InputError("a bad row"), False), (StateUnavailableError("Redis is away"), True)]
)
def test_only_what_may_go_better_next_time_is_started_again(
    cluster_instance: dg.DagsterInstance, error: Exception, retried: bool
) -> None:
    @dg.asset
    def failing(context: dg.AssetExecutionContext) -> None:
        with clear_failures(context):
            raise error

    result = dg.materialize([failing], instance=cluster_instance, raise_on_error=False)
    run = cluster_instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/will_retry"] == ("true" if retried else "false")


def test_the_environment_alone_chooses_where_steps_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_executor(Environment()) is dg.in_process_executor
    monkeypatch.setenv("PROMPTORY_EXECUTOR", "kubernetes")
    assert choose_executor(Environment.read()).name == "kubernetes"
    monkeypatch.setenv("PROMPTORY_EXECUTOR", "threads")
    with pytest.raises(ConfigurationError, match="PROMPTORY_EXECUTOR"):
        Environment.read()
