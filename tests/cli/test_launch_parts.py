"""What runs are started with: the shared instance, clean streams, and no ghosts of killed processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from domain.errors import ConfigurationError
from orchestration.abandoned_runs import close_abandoned_runs, own_tags
from orchestration.environments import Environment
from orchestration.instance import open_instance

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def default_home(workshop, monkeypatch):
    monkeypatch.delenv("PROMPTORY_HOME")
    shutil.copy(CHECKOUT / "dagster.yaml", workshop.root)
    return workshop


@dg.op
def idle() -> None:
    """Does nothing."""


@dg.job
def idle_job() -> None:
    """Does nothing."""
    idle()


def test_the_instance_is_the_one_dagster_dev_opens_in_the_checkout(default_home):
    from dagster._cli.utils import get_possibly_temporary_instance_for_cli

    with open_instance(Environment.read()) as ours:
        ours.add_dynamic_partitions("tasks", ["tickets"])
        with get_possibly_temporary_instance_for_cli("test") as theirs:
            assert theirs.get_dynamic_partitions("tasks") == ["tickets"]
            assert theirs.run_retries_max_retries == ours.run_retries_max_retries == 2
            assert not theirs.telemetry_enabled


def test_another_home_has_a_history_of_its_own(workshop):
    shutil.copy(CHECKOUT / "dagster.yaml", workshop.root)

    with open_instance(Environment.read()) as instance:
        instance.add_dynamic_partitions("tasks", ["tickets"])

    assert (workshop.root / "home" / "dagster" / "history" / "runs.db").exists()
    assert not (workshop.root / ".promptory").exists()


def test_dagster_home_wins(workshop, monkeypatch):
    home = workshop.root / "elsewhere"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))

    with open_instance(Environment.read()) as instance:
        assert instance.root_directory == str(home)


@pytest.mark.parametrize("value", ["relative/folder", "/no/such/folder"])
def test_an_unusable_dagster_home_is_one_clear_error(workshop, monkeypatch, value):
    monkeypatch.setenv("DAGSTER_HOME", value)

    with pytest.raises(ConfigurationError, match="DAGSTER_HOME"):
        open_instance(Environment.read())


def test_a_broken_dagster_yaml_is_one_clear_error(default_home):
    (default_home.root / "dagster.yaml").write_text("storage: {nonsense: {}}\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"dagster\.yaml"):
        open_instance(Environment.read())


def test_only_runs_of_dead_processes_are_closed():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = own_tags()
    dead = {**mine, "promptory/process": mine["promptory/process"].replace(str(os.getpid()), str(gone.pid), 1)}
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [
            instance.create_run_for_job(idle_job, tags=tags, status=dg.DagsterRunStatus.STARTED)
            for tags in (mine, dead, {"started_by": "somebody else"})
        ]

        assert close_abandoned_runs(instance) == [runs[1].run_id]

        statuses = [instance.get_run_by_id(run.run_id).status for run in runs]
    assert statuses == [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED]


def test_a_run_of_another_boot_is_dead_only_where_no_other_machine_shares_the_history(monkeypatch):
    """Two machines may have one host name, and a process id that is gone here may be alive there."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = own_tags()
    process = mine["promptory/process"].replace(str(os.getpid()), str(gone.pid), 1)
    elsewhere = {**mine, "promptory/process": process, "promptory/boot": "another kernel"}
    with dg.DagsterInstance.ephemeral() as shared, dg.instance_for_test() as own:
        for instance, closed in ((shared, 0), (own, 1)):
            instance.create_run_for_job(idle_job, tags=elsewhere, status=dg.DagsterRunStatus.STARTED)
            assert len(close_abandoned_runs(instance)) == closed


STREAMS = """
import subprocess, sys
from pathlib import Path
from orchestration.quiet_streams import streams_to_file
sys.stdout.write("before ")
try:
    with streams_to_file(Path(sys.argv[1])):
        sys.stdout.write("python ")
        sys.stderr.write("error ")
        subprocess.run(["echo", "child"], check=True)
        if len(sys.argv) > 2:
            raise RuntimeError
except RuntimeError:
    pass
sys.stdout.write("after")
"""


@pytest.mark.parametrize("more", [[], ["with an error"]])
def test_what_is_written_meanwhile_goes_to_the_file_and_nothing_else_does(tmp_path, more):
    log = tmp_path / "logs" / "log"
    done = subprocess.run([sys.executable, "-c", STREAMS, str(log), *more], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("before after", "")
    assert set(log.read_text().split()) == {"python", "error", "child"}
