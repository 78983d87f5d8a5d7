"""`promptory experiment`: from the file to the promoted winner, and everything a person can get wrong on the way."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.prompt import Demonstration
from orchestration.environments import Environment
from resources.catalog.task_file import load_task
from resources.database.repositories import aliases, prompt_versions, tasks
from resources.database.session import open_database

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SINCE = "2026-11-01T00:00:00Z"
UNITS = 700
FILE = """\
name: wording
task: tickets
variants:
  - {name: plain, prompt: v1}
  - {name: examples, prompt: v2}
metric: {name: solved, window_hours: 2}
guardrails: {max_cost_ratio: 2}
budget_usd: "0.50"
"""


@pytest.fixture
def shop(workshop) -> Any:
    """A task with two prompt versions, and an experiment file."""
    path = workshop.write_task()
    assert workshop.run("db", "upgrade").code == 0
    task = load_task(path)
    first = task.prompt.version()
    shown = (Demonstration(inputs={"text": "Where is my parcel?"}, output="delivery"),)
    second = first.with_steps((first.steps[0].model_copy(update={"demonstrations": shown}),))
    database = open_database(Environment.read().database)
    with database.session() as session:
        tasks.upsert_task(session, task, source_path=str(path), now=NOW)
        for version in (first, second):
            prompt_versions.register(session, "tickets", version, created_by="author", now=NOW)
        move = {"expected_revision": None, "moved_by": "author", "reason": "first", "now": NOW}
        aliases.move(session, "tickets", "production", first.id, **move)
    database.dispose()
    write(workshop, FILE)
    return workshop


def write(workshop, text: str, name: str = "wording") -> Path:
    folder = workshop.root / "catalog" / "experiments"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{name}.yaml"


def write_traffic(workshop, examples_solve: float, cost: float = 1.2) -> tuple[str, str]:
    """Answers and outcomes of units as the experiment deals them: every tenth unit differs in a fixed way."""
    assigned = workshop.run("experiment", "assign", "wording", *(f"u{n}" for n in range(UNITS)), "--json").value
    with (workshop.root / "seen.csv").open("w") as seen, (workshop.root / "came.csv").open("w") as came:
        seen.write("unit_id,at,variant,cost_usd,latency_s\n")
        came.write("unit_id,value,at\n")
        for number, one in enumerate(assigned["assignments"]):
            at = NOW + timedelta(minutes=number + 1)
            chance, price = (examples_solve, cost) if one["variant"] == "examples" else (0.3, 1.0)
            solved = int(number * 7 % 10 < 10 * chance)
            seen.write(f"{one['unit_id']},{at.isoformat()},{one['variant']},{0.001 * price},0.{number % 5 + 3}\n")
            came.write(f"{one['unit_id']},{solved},{(at + timedelta(hours=1)).isoformat()}\n")
    return str(workshop.root / "seen.csv"), str(workshop.root / "came.csv")


def begun(workshop, examples_solve: float = 0.6, cost: float = 1.2) -> dict[str, Any]:
    assert workshop.run("experiment", "start", "wording", "--since", SINCE).code == 0
    seen, came = write_traffic(workshop, examples_solve, cost)
    return workshop.run("experiment", "import", "wording", "--interactions", seen, "--outcomes", came, "--json").value


def test_from_the_file_to_the_promoted_winner(shop) -> None:
    assert shop.run("experiment", "validate").code == 0
    files = begun(shop)["files"]
    assert [(one["kind"], one["new"], one["quarantined"]) for one in files] == [
        ("interactions", UNITS, []),
        ("outcomes", UNITS, []),
    ]
    looked = shop.run("experiment", "report", "wording", "--json").value
    assert (looked["state"], looked["report"]["verdict"]["kind"]) == ("running", "winner")

    page, picture = shop.root / "report.html", shop.root / "report.png"
    shown = shop.run("experiment", "report", "wording", "--conclude", "--html", str(page), "--png", str(picture))
    assert "There is a winner" in shown.out
    assert "promptory experiment promote wording" in shown.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "There is a winner" in page.read_text(encoding="utf-8")
    assert 'src="data:image/png;base64,' in page.read_text(encoding="utf-8")

    promoted = shop.run("experiment", "promote", "wording", "--json").value
    assert (promoted["moved"], promoted["verdict"]) == (True, "promote")
    assert shop.run("prompt", "show", "tickets", "production", "--json").value["version"] == 2
    assert shop.run("experiment", "promote", "wording", "--json").value["moved"] is False
    [line] = shop.run("experiment", "list", "--json").value["experiments"]
    assert (line["state"], line["stop_kind"], line["answers"], line["outcomes"]) == ("stopped", "winner", UNITS, UNITS)
    assert "stopped" in shop.run("experiment", "list").out


def test_importing_again_changes_nothing(shop) -> None:
    begun(shop)
    before = shop.run("experiment", "report", "wording", "--json").value
    seen, came = write_traffic(shop, 0.6)
    done = shop.run("experiment", "import", "wording", "--interactions", seen, "--outcomes", came)
    assert "there already" in done.out
    assert shop.run("experiment", "report", "wording", "--json").value["observations_id"] == before["observations_id"]


def test_a_broken_guardrail_is_concluded_and_not_promoted(shop) -> None:
    begun(shop, cost=4)
    value = shop.run("experiment", "report", "wording", "--conclude", "--json").value
    assert (value["stop_kind"], value["decision"]["verdict"]) == ("guardrail", "reject")
    assert "above the limit of 2" in value["stop_reason"]
    refused = shop.run("experiment", "promote", "wording", "--json").value
    assert (refused["moved"], refused["verdict"]) == (False, "reject")


def test_stopping_by_hand_needs_a_reason_and_records_the_figures(shop) -> None:
    begun(shop, examples_solve=0.3)
    assert shop.run("experiment", "promote", "wording").code == 2
    assert shop.run("experiment", "stop", "wording").code == 2
    value = shop.run("experiment", "stop", "wording", "--reason", "the shop is closed", "--json").value
    assert (value["state"], value["verdict"]) == ("stopped", "reject")
    again = shop.run("experiment", "stop", "wording", "--reason", "again")
    assert again.code == 2
    assert "the shop is closed" in again.err
    assert "cannot start again" in shop.run("experiment", "start", "wording").err


def test_bad_rows_are_shown_and_written(shop) -> None:
    assert shop.run("experiment", "start", "wording", "--since", SINCE).code == 0
    path = shop.root / "rows.csv"
    good = [f"u{n},2026-11-02T00:00:00Z" for n in range(20)]
    path.write_text("\n".join(["unit_id,at", *good, "u99,yesterday"]) + "\n")
    rejected = shop.root / "rejected.csv"
    shown = shop.run("experiment", "import", "wording", "--interactions", str(path), "--rejected", str(rejected))
    assert shown.code == 0
    assert "'yesterday' is not a time" in shown.out
    with rejected.open() as file:
        [row] = list(csv.DictReader(file))
    assert (row["row"], row["field"]) == ("22", "at")
    path.write_text("unit_id,at\nu1,yesterday\n")
    refused = shop.run("experiment", "import", "wording", "--interactions", str(path))
    assert refused.code == 2
    assert "1 of 1 rows cannot be used, so nothing was stored" in refused.err
    assert shop.run("experiment", "import", "wording").code == 2


def test_units_are_assigned_from_a_file_too(shop) -> None:
    assert shop.run("experiment", "start", "wording").code == 0
    path = shop.root / "units.csv"
    path.write_text("unit_id\nu1\nu2\n")
    found = shop.run("experiment", "assign", "wording", "u1", "--from", str(path), "--json").value["assignments"]
    assert [one["unit_id"] for one in found] == ["u1", "u1", "u2"]
    assert found[0] == found[1]
    assert {one["variant"] for one in found} <= {"plain", "examples"}
    assert shop.run("experiment", "assign", "wording").code == 2


def test_the_cap_of_the_file_binds(shop) -> None:
    assert shop.run("experiment", "start", "wording").code == 0
    budgets = shop.run("budget", "list", "--all", "--json").value["budgets"]
    assert {one["scope"]: one["cap_usd"] for one in budgets}["experiment:wording"] == "0.5"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("task: tickets", "task: ticket"), "did you mean `tickets`?"),
        (lambda text: text.replace("prompt: v2", "prompt: v7"), "no prompt version 'v7'"),
        (lambda text: text.replace("alpha", "alfa") + "alfa: 0.1\n", "did you mean `alpha`?"),
        (lambda text: text.replace("name: examples, ", ""), "add `name: …`"),
    ],
)
def test_validation_names_the_mistake(shop, change, told: str) -> None:
    path = write(shop, change(FILE))
    outcome = shop.run("experiment", "validate")
    assert outcome.code == 2
    assert told in outcome.err
    assert str(path) in outcome.err
    value = shop.run("experiment", "validate", str(path), "--json").value
    assert value["ok"] is False
    assert value["experiments"][0]["error"]["file"] == str(path)


def test_validation_sees_shared_buckets_and_changed_designs(shop) -> None:
    write(shop, FILE.replace("name: wording", "name: zebra"), "zebra")
    assert "overlap those of experiment 'wording'" in shop.run("experiment", "validate").err
    assert shop.run("experiment", "validate", "wording").code == 2
    (shop.root / "catalog" / "experiments" / "zebra.yaml").unlink()
    assert shop.run("experiment", "start", "wording").code == 0
    write(shop, FILE + "alpha: 0.2\n")
    assert "now differs in alpha" in shop.run("experiment", "validate", "wording").err
    assert "now differs in alpha" in shop.run("experiment", "start", "wording").err


def test_weights_are_taken_over_and_shown(shop) -> None:
    assert shop.run("experiment", "start", "wording").code == 0
    assert shop.run("experiment", "start", "wording", "--json").value["changed"] is False
    uneven = FILE.replace("prompt: v1}", "prompt: v1, weight: 3}")
    write(shop, uneven)
    assert "more even" in shop.run("experiment", "start", "wording").err
    write(shop, FILE + "description: New words.\n")
    assert shop.run("experiment", "start", "wording", "--json").value["changed"] is True
    shown = shop.run("experiment", "show", "wording", "--json").value
    assert shown["dealt"][0]["shares"] == {"plain": 0.5, "examples": 0.5}
    assert "New words." in shop.run("experiment", "show", "wording").out


def test_what_is_not_there_is_named(shop) -> None:
    assert "experiments there are: wording" in shop.run("experiment", "show", "words").err
    assert "experiments there are: wording" in shop.run("experiment", "start", "words").err
    assert "promptory experiment start wording" in shop.run("experiment", "report", "wording").err
    assert shop.run("experiment", "start", "wording", "--since", "2999-01-01T00:00:00Z").code == 2
    assert shop.run("experiment", "start", "wording", "--since", "soon").code == 2
    assert shop.run("experiment", "show", "wording", "--json").value["state"] == "draft"


def test_a_report_cannot_be_written_everywhere(shop) -> None:
    assert shop.run("experiment", "start", "wording").code == 0
    refused = shop.run("experiment", "report", "wording", "--html", str(shop.root / "no" / "report.html"))
    assert refused.code == 2
    assert "cannot be written" in refused.err


def test_names_in_a_page_are_escaped(shop) -> None:
    begun(shop, examples_solve=0.3)
    reason = "<script>alert(1)</script>"
    assert shop.run("experiment", "stop", "wording", "--reason", reason).code == 0
    page = shop.root / "report.html"
    assert shop.run("experiment", "report", "wording", "--html", str(page)).code == 0
    assert reason not in page.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page.read_text(encoding="utf-8")


def test_every_command_has_an_example(workshop) -> None:
    for name in ("list", "show", "validate", "start", "stop", "assign", "import", "report", "promote"):
        assert f"promptory experiment {name}" in workshop.run("experiment", name, "--help").out
