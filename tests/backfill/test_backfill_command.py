"""`promptory backfill` on the terminal."""

from __future__ import annotations

import json

import pytest
from backfill.tasks import Tasks
from typer.testing import CliRunner

from orchestration.cli.application import app


def run(*arguments: str):
    result = CliRunner().invoke(app, ["backfill", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_plan_launch_status_and_list(tasks: Tasks) -> None:
    tasks.add("alpha", "beta")
    tasks.break_rows("beta")

    plan = run("plan", "dataset", "prompt_version")
    assert plan.exit_code == 0
    assert "never made (2)" in plan.stdout
    assert "nothing was paid" in plan.stdout
    launched = run("launch", "prompt_version", "dataset", "--key", "first", "--json")
    assert launched.exit_code == 1  # one failed
    value = json.loads(launched.stdout)
    assert (value["way"], value["state"], value["done"]) == ("in_process", "failed", 3)
    status = run("status", "first")
    assert status.exit_code == 0
    assert "beta.csv" in status.stdout
    assert "3 of 4" in status.stdout
    assert run("wait", "first").exit_code == 1
    assert "first" in run("list").stdout
    assert run("plan", "dataset", "--partition", "alpha").stdout.count("Everything is fresh") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plan", "evaluations"), "did you mean `evaluation`"),
        (("launch", "evaluation", "-p", "alpah"), "did you mean `alpha`"),
        (("status", "never"), "promptory backfill list"),
        (("cancel", "never"), "promptory backfill list"),
    ],
)
def test_errors_say_what_to_do(tasks: Tasks, arguments: tuple[str, ...], told: str) -> None:
    tasks.add("alpha")
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
