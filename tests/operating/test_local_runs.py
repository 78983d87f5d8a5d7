"""Runs whose process and code server are both gone are noticed, and nobody else's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from orchestration.abandoned_runs import MACHINE, PROCESS, machine_tags, own_tags
from orchestration.local_runs import LocalRunLauncher

LAUNCHER = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())["run_launcher"]
NO_SERVER = {GRPC_INFO_TAG: '{"host": "localhost", "socket": "/tmp/nobody-listens-here"}'}


@dg.op
def idle() -> None: ...


@dg.job
def idle_job() -> None:
    idle()


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides={"run_launcher": LAUNCHER}) as made:
        assert isinstance(made.run_launcher, LocalRunLauncher)
        yield made


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a run's."""
    program = "import time; print(flush=True); time.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # Python that is interrupted while it starts ends as a failure
        yield process
        process.kill()


def started(instance: dg.DagsterInstance, pid: int, tags: dict[str, str]) -> dg.DagsterRun:
    """A run that a process with this id said it had started."""
    run = instance.create_run_for_job(idle_job, tags=tags, status=dg.DagsterRunStatus.STARTING)
    event = DagsterEvent(DagsterEventType.RUN_START.value, idle_job.name, pid=pid)
    instance.report_dagster_event(event, run.run_id)
    return reread(instance, run)


def reread(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    return instance.run_launcher.check_run_worker_health(reread(instance, run)).status


def test_a_run_is_well_as_long_as_its_process_lives(instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]):
    run = started(instance, sleeper.pid, machine_tags())
    assert run.status is dg.DagsterRunStatus.STARTED
    assert health(instance, run) is WorkerStatus.RUNNING
    sleeper.kill()
    sleeper.wait()
    assert health(instance, run) is WorkerStatus.FAILED


def test_another_process_with_the_same_id_is_not_the_run(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
):
    run = started(instance, sleeper.pid, machine_tags())
    assert health(instance, run) is WorkerStatus.RUNNING
    pid, since, machine = reread(instance, run).tags[PROCESS].split(" ", 2)
    instance.add_run_tags(run.run_id, {PROCESS: f"{pid} {int(since) - 1} {machine}"})
    assert health(instance, run) is WorkerStatus.FAILED


def test_what_cannot_be_seen_from_here_counts_as_well(instance: dg.DagsterInstance):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    elsewhere = {**machine_tags(), MACHINE: "another machine"}
    for tags in (elsewhere, {}):
        assert health(instance, started(instance, gone.pid, tags)) is WorkerStatus.RUNNING
    assert health(instance, started(instance, gone.pid, machine_tags())) is WorkerStatus.FAILED


def test_a_run_that_is_started_again_is_not_its_dead_predecessor(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
):
    """Dagster gives it the tags of the run that died."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = {PROCESS: own_tags()[PROCESS].replace(own_tags()[PROCESS].split(" ")[0], str(gone.pid), 1)}
    run = started(instance, sleeper.pid, {**dead, **machine_tags()})
    assert health(instance, run) is WorkerStatus.RUNNING


def test_a_run_is_terminated_without_the_server_that_started_it(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
):
    run = started(instance, sleeper.pid, {**machine_tags(), **NO_SERVER})
    assert instance.run_launcher.terminate(run.run_id)
    assert sleeper.wait(60) == -signal.SIGINT
    again = started(instance, sleeper.pid, {**machine_tags(), **NO_SERVER})
    assert not instance.run_launcher.terminate(again.run_id)
