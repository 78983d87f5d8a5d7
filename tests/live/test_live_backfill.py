"""Dagster's daemon works on backfills: few runs, told of one by one, launched once however the launcher ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from backfill.tasks import Tasks
from dagster import RunsFilter
from dagster._core.execution.backfill import BulkActionStatus

from orchestration import backfill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NUMBER = int(os.environ.get("PROMPTORY_BACKFILL_TASKS", "50"))
READY_S = 120.0
DONE_S = 600.0
# Only the assets: the sensors would start the same work by themselves, but for the one that looks after retries.
LOCATION = """
import dagster as dg
from datetime import timedelta
from orchestration import definitions
from sensors import lost_retries

lost_retries.OVERDUE = timedelta(seconds=5)
lost_retries.lost_retries._min_interval = 5
defs = dg.Definitions(
    assets=definitions.defs.assets, resources=definitions.defs.resources, executor=dg.in_process_executor,
    sensors=[lost_retries.lost_retries],
)
"""
# As in the checkout's dagster.yaml.
RETRIES = {"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}}
# See docs/backfill.md: on a busy machine the daemon is there before its code location is.
PATIENT = {"DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1"}
LAUNCHER = """
import os, signal, sys
from orchestration import backfill
from orchestration.backfill import records

add = records.add

def add_and_die(*arguments):
    if sys.argv[1] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    add(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] != "never":
    records.add = add_and_die
print(backfill.launch(["prompt_version"], key="killed", way="daemon").id)
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    made = Tasks(tmp_path)
    made.prepare(monkeypatch)
    made.add(*(f"task_{number:03d}" for number in range(NUMBER)))
    with (made.root / "home/dagster/dagster.yaml").open("a") as config:
        yaml.safe_dump(RETRIES, config)
    with made.instance():
        pass  # Dagster's own processes that make an instance's files at once stumble over each other's migrations
    return made


@pytest.fixture
def daemon(tasks: Tasks) -> Iterator[Path]:
    """Dagster's daemon on the home, killed afterwards with all its children; its log."""
    (tasks.root / "location.py").write_text(LOCATION)
    log = tasks.root / "daemon.log"
    command = [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "-f", str(tasks.root / "location.py")]
    with log.open("w") as out:
        server = subprocess.Popen(
            command, cwd=tasks.root, stdout=out, stderr=out, start_new_session=True, env={**os.environ, **PATIENT}
        )
    try:
        assert _until(lambda: _is_there(tasks), READY_S), log.read_text()[-4000:]
        yield log
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def _until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(1)
    return False


def _is_there(tasks: Tasks) -> bool:
    from orchestration.backfill.daemon import has_daemon

    with tasks.instance() as instance:
        return has_daemon(instance, time.time())


def _launch(tasks: Tasks, when: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", LAUNCHER, when]
    return subprocess.Popen(command, cwd=tasks.root, stdout=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status, and what it printed."""
    told = process.communicate(timeout=DONE_S)[0].strip()
    return process.returncode, told


def test_many_partitions_take_few_runs_and_a_bad_task_is_told_of(tasks: Tasks, daemon: Path) -> None:
    tasks.break_rows("task_007")
    assets = ["dataset", "prompt_version"]
    planned = backfill.plan(assets)
    assert planned.to_run == 2 * NUMBER
    assert planned.runs <= 5

    started = backfill.launch(assets, key="live")
    again = backfill.launch(assets, key="live")
    status = backfill.wait("live", timeout_s=DONE_S)

    assert (started.way, again.id) == ("daemon", started.id)
    assert (status.state, status.done) == ("failed", 2 * NUMBER - 1), (status.error, daemon.read_text()[-6000:])
    assert len(status.runs) <= 5
    assert [(one.asset, one.partition) for one in status.failed] == [("dataset", "task_007")]
    assert "task_007.csv" in status.failed[0].reason


def test_what_depends_on_each_other_goes_on_with_what_is_made(tasks: Tasks, daemon: Path) -> None:
    tasks.break_rows(f"task_{NUMBER - 1:03d}")
    backfill.launch(["dataset", "prompt_version", "evaluation"], key="chain")

    status = backfill.wait("chain", timeout_s=DONE_S)

    assert status.done == 3 * NUMBER - 2
    assert len(status.runs) <= 5
    assert {one.partition for one in status.failed} == {f"task_{NUMBER - 1:03d}"}
    assert status.state == "failed"


def test_a_killed_launcher_has_launched_or_not_and_never_twice(tasks: Tasks) -> None:
    assert _ended(_launch(tasks, "before")) == (-signal.SIGKILL, "")
    assert backfill.list_backfills() == []
    assert _ended(_launch(tasks, "after")) == (-signal.SIGKILL, "")
    ids = {one.id for one, _ in backfill.list_backfills()}

    both = [_launch(tasks, "never") for _ in range(2)]
    told = {_ended(process) for process in both}

    assert told == {(0, one) for one in ids}
    assert len(backfill.list_backfills()) == 1
    assert backfill.status("killed").state == "running"


def test_two_launchers_at_once_launch_one(tasks: Tasks) -> None:
    both = [_launch(tasks, "never") for _ in range(3)]
    told = {_ended(process) for process in both}

    assert len(told) == 1
    assert len(backfill.list_backfills()) == 1


def test_cancelled_while_the_daemon_works(tasks: Tasks, daemon: Path) -> None:
    backfill.launch(["dataset", "prompt_version", "evaluation"], key="stopped")
    assert _until(lambda: backfill.status("stopped").done > 0, DONE_S)
    backfill.cancel("stopped")

    status = backfill.wait("stopped", timeout_s=DONE_S)

    assert status.state == "canceled"
    assert 0 < status.done < 3 * NUMBER


def test_a_process_killed_between_runs_goes_on_with_the_same_key(tasks: Tasks) -> None:
    code = "from orchestration import backfill; backfill.launch(['dataset', 'prompt_version', 'evaluation'], key='k')"
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], cwd=tasks.root)
    assert _until(lambda: bool(backfill.list_backfills()) and backfill.status("k").done > 0, DONE_S)
    process.kill()
    process.wait()
    interrupted = backfill.status("k")
    assert interrupted.state == "interrupted"

    backfill.launch(["dataset", "prompt_version", "evaluation"], key="k")

    status = backfill.status("k")
    assert (status.state, status.done, status.failed) == ("succeeded", 3 * NUMBER, ())
    assert len(backfill.list_backfills()) == 1


def test_one_that_is_ended_while_a_run_died_goes_on(tasks: Tasks, daemon: Path) -> None:
    """Dagster's daemon can take a backfill for ended in the moment in which a run is being marked as failed."""
    started = backfill.launch(["dataset", "prompt_version", "evaluation"], key="early")
    with tasks.instance() as instance:
        assert _until(lambda: bool(_workers(instance, started.id)), DONE_S), daemon.read_text()[-6000:]
        stored = instance.get_backfill(started.id)
        assert stored is not None
        instance.update_backfill(stored.with_status(BulkActionStatus.COMPLETED_FAILED).with_end_timestamp(time.time()))
        os.kill(_workers(instance, started.id)[0], signal.SIGKILL)
        failed = RunsFilter(tags={"dagster/backfill": started.id}, statuses=[dg.DagsterRunStatus.FAILURE])
        assert _until(lambda: bool(instance.get_runs(failed)), DONE_S), daemon.read_text()[-6000:]

    status = backfill.wait("early", timeout_s=DONE_S)

    assert (status.state, status.done, status.failed) == ("succeeded", 3 * NUMBER, ()), daemon.read_text()[-6000:]


def _workers(instance: dg.DagsterInstance, backfill_id: str) -> list[int]:
    """The processes of the backfill's runs that are under way."""
    wanted = RunsFilter(tags={"dagster/backfill": backfill_id}, statuses=[dg.DagsterRunStatus.STARTED])
    events = [
        entry.dagster_event
        for run in instance.get_runs(wanted)
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_START)
    ]
    return [event.pid for event in events if event is not None and event.pid is not None]
