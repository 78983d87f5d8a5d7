"""Commands that are the first of a project, started at once: each finds a whole database and Dagster instance."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from backfill.tasks import Tasks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NUMBER = 4
LEAD_S = 12.0  # importing Dagster takes seconds; all are to open at one instant
OPENER = """
import sys, time
from pathlib import Path
from orchestration.environments import Environment
from orchestration.instance import open_instance

time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
with open_instance(Environment(home=Path(sys.argv[1]))) as instance:
    instance.add_dynamic_partitions("tasks", [sys.argv[3]])
"""


def test_the_first_to_open_an_instance_may_be_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    command = [sys.executable, "-W", "ignore", "-c", OPENER, str(tmp_path / "home"), str(time.time() + LEAD_S)]

    started = [
        subprocess.Popen([*command, f"task_{number}"], stderr=subprocess.PIPE, text=True) for number in range(NUMBER)
    ]
    told = [(process.communicate(timeout=120)[1], process.returncode) for process in started]

    assert told == [("", 0)] * NUMBER


def test_the_first_commands_of_a_project_may_be_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = Tasks(tmp_path)
    for folder in ("catalog/tasks", "catalog/datasets"):
        (tmp_path / folder).mkdir(parents=True)
    names = [f"task_{number}" for number in range(NUMBER)]
    tasks.add(*names)
    for name in ("LANDING", "STORAGE", "DATABASE_URL", "STATE_URL", "HOME", "CATALOG", "CONFIG"):
        monkeypatch.delenv(f"PROMPTORY_{name}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    command = [sys.executable, "-c", "from orchestration.cli import main; main()", "ingest"]

    started = [
        subprocess.Popen([*command, name], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name in names
    ]
    told = [(process.communicate(timeout=120)[0], process.returncode) for process in started]

    assert [status for _, status in told] == [0] * NUMBER, told
