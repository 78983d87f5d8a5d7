"""The whole loop from the command line: the real sample, its rows thinned out so that it takes seconds."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-c", "from orchestration.cli import main; main()"]
EVERY = 6


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def sample(workshop):
    """The catalog's sample task with every sixth row and a short search."""
    tasks = workshop.root / "catalog" / "tasks"
    datasets = workshop.root / "catalog" / "datasets"
    datasets.mkdir()
    with (CHECKOUT / "catalog/datasets/support_triage.csv").open(encoding="utf-8", newline="") as source:
        header, *rows = csv.reader(source, strict=True)
    with (datasets / "support_triage.csv").open("w", encoding="utf-8", newline="") as thinned:
        csv.writer(thinned).writerows([header, *rows[::EVERY]])
    shutil.copy(CHECKOUT / "catalog/tasks/support_triage.yaml", tasks)
    path = tasks / "support_triage.yaml"
    task = yaml.safe_load(path.read_text(encoding="utf-8"))
    task["optimizer"].update(candidates=1, max_bootstrapped=4, max_labeled=24, reference_draws=2)
    path.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    return workshop


def test_the_demo_runs_twice_and_pays_once(sample):
    first = run("demo", "--json")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    value = json.loads(first.stdout)

    assert value["dataset"]["rows"] == sum(value["dataset"]["split_rows"].values()) > 150
    assert value["baseline"]["test"]["rows"] == value["dataset"]["split_rows"]["test"]
    for arm in (value["baseline"]["test"], value["random_demonstrations"]["mean"]):
        assert 0 <= arm["low"] <= arm["score"] <= arm["high"] <= 1
    assert len(value["random_demonstrations"]["draws"]) == 2
    assert value["decision"]["verdict"] in ("promote", "reject", "keep")
    assert value["decision"]["reason"]
    assert value["effort"]["calls"] > 0
    assert value["effort"]["cost_nano_usd"] == value["effort"]["task_in_all"]["cost_nano_usd"] > 0
    assert "not a language model" in value["note"]

    second = run("demo")
    assert second.returncode == 0, second.stderr
    assert "not a language model" in second.stdout
    assert "http://127.0.0.1:3000/assets/evaluation" in second.stdout
    assert sample.run("cost", "--json").value["total"]["spent_nano_usd"] == value["effort"]["cost_nano_usd"]
    listed = sample.run("task", "list", "--json").value["tasks"][0]
    assert listed["production"]["id"] == value["production"]["id"]
    assert listed["dataset"]["version"] == 1
    versions = sample.run("prompt", "list", "support_triage", "--json").value["versions"]
    assert value["optimized"]["id"] in [one["id"] for one in versions]
    assert len(versions) == len({one["id"] for one in versions}) == 4  # authored, two random draws, optimised


def test_a_failed_run_is_one_clear_line_and_exit_code_1(workshop):
    workshop.write_task()
    assert workshop.run("db", "upgrade").code == 0
    (workshop.root / "catalog" / "datasets" / "tickets.csv").write_text("text\nhello\n", encoding="utf-8")

    done = run("ingest", "tickets", "--json")

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "tickets.csv:1 [dataset.output]" in done.stderr
    assert "Mend: the columns are: text." in done.stderr
    error = json.loads(done.stdout)
    assert (error["error"], error["row"]) == ("RunFailedError", 1)
    assert error["run_id"]
