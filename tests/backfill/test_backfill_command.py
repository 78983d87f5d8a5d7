"""`promptory backfill` on the terminal."""

from __future__ import annotations

import json
import signal
from functools import partial

import pytest
from backfill.tasks import Tasks
from typer.testing import CliRunner

from orchestration import backfill
from orchestration.backfill.in_process import alone
from orchestration.cli.application import app
from resources.catalog.catalog import Catalog


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


def test_what_is_not_over_is_no_success(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.add("alpha")
    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "get", lambda *_: signal.raise_signal(signal.SIGINT))
        stopped = run("launch", "dataset", "--key", "first")
    assert stopped.exit_code == 1
    assert "launch it again with --key first" in " ".join(stopped.stderr.split())
    gone = run("wait", "first")
    assert gone.exit_code == 2
    assert "interrupted" in gone.stdout

    wait = backfill.wait
    canceling = partial(wait, sleep=lambda _: backfill.cancel("first"))
    monkeypatch.setattr(backfill, "wait", lambda key, **more: canceling(key, **more))
    with alone(tasks.environment, backfill.status("first").backfill.id):  # as another process would
        elsewhere = run("launch", "dataset", "--key", "first")
        assert elsewhere.exit_code == 2
        assert "promptory backfill wait first" in " ".join(elsewhere.stdout.split())
        waited = run("launch", "dataset", "--key", "first", "--wait", "--json")
    assert (waited.exit_code, json.loads(waited.stdout)["state"]) == (1, "canceled")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plan", "evaluations"), "did you mean `evaluation`"),
        (("launch", "evaluation", "-p", "alpah"), "did you mean `alpha`"),
        (("status", "never"), "promptory backfill list"),
        (("cancel", "never"), "promptory backfill list"),
        (("launch", "dataset", "--key", ""), "the key is blank"),
    ],
)
def test_errors_say_what_to_do(tasks: Tasks, arguments: tuple[str, ...], told: str) -> None:
    tasks.add("alpha")
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
