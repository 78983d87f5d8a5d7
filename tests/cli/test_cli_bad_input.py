"""Bad input: one clear line that names file, field and mend, exit code 2, and no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


TASK_CASES = {
    "malformed YAML": (replaced("inputs: [text]", "inputs: [text"), "not valid YAML", None),
    "unknown metric": (replaced("kind: choice_label", "kind: bleu"), "bleu", "evaluators.0"),
    "unknown provider": (replaced("offline/nearest", "acme/large"), "acme", "prompt.model"),
    "model without provider": (replaced("offline/nearest", "large"), "provider/name", "prompt.model"),
    "misspelt field": (replaced("evaluators:", "evaluator:"), "evaluators", "evaluator"),
    "undefined template field": (replaced("{{ text }}", "{{ body }}"), "body", "output_prompt"),
    "template syntax": (replaced("{{ text }}", "{{ text"), "template", "output_prompt"),
    "sandbox escape": (replaced("{{ text }}", "{{ text.__class__.__mro__ }}"), "sandbox", "output_prompt"),
    "metric that cannot read the answer": (replaced("kind: choice_label", "kind: numeric"), "numeric", "evaluators"),
    "missing column": (replaced("output: label", "output: category"), "'category'", "dataset.output"),
    "dataset that does not exist": (replaced("tickets.csv", "nothing.csv"), "does not exist", None),
    "fractions that do not add up": (
        replaced("  max_quarantined: 0", "  max_quarantined: 0\n  split: {train: 0.5, dev: 0.5, test: 0.5}"),
        "add up to 1",
        "dataset.split",
    ),
}


@pytest.mark.parametrize("case", TASK_CASES)
def test_a_bad_task_file_is_one_clear_error(workshop, case):
    change, problem, field = TASK_CASES[case]
    workshop.write_task(change)

    outcome = workshop.run("task", "validate", "tickets")

    assert outcome.code == 2
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert problem in lines[0]
    assert ".yaml" in lines[0] or ".csv" in lines[0]
    assert "Mend: " in lines[0]
    assert "Traceback" not in outcome.out + outcome.err
    if field:
        assert f"[{field}" in lines[0] or field in lines[0].partition("]")[0]


def no_rows(path: Path) -> None:
    path.write_text("text,label\n", encoding="utf-8")


def nothing_at_all(path: Path) -> None:
    path.write_bytes(b"")


def latin_1(path: Path) -> None:
    path.write_bytes("text,label\nLivré en retard,delivery\n".encode("latin-1"))


def strange_label(path: Path) -> None:
    path.write_text(path.read_text() + "Where is my cat,pets\n", encoding="utf-8")


def huge_cell(path: Path) -> None:
    path.write_text(path.read_text() + f"{'x' * 100_001},billing\n", encoding="utf-8")


def contradiction(path: Path) -> None:
    first = path.read_text().splitlines()[1].rpartition(",")[0]
    path.write_text(path.read_text() + f"{first},refund\n", encoding="utf-8")


DATASET_CASES = {
    "no row": (no_rows, "no row", None),
    "empty file": (nothing_at_all, "empty", None),
    "not UTF-8": (latin_1, "not UTF-8", ":2"),
    "label outside the choices": (strange_label, "pets", "[label]"),
    "huge cell": (huge_cell, "100,001 characters", "[text]"),
    "same input, two answers": (contradiction, "another answer", "[text]"),
}


@pytest.mark.parametrize("case", DATASET_CASES)
def test_a_bad_dataset_is_one_clear_error(workshop, case):
    spoil, problem, place = DATASET_CASES[case]
    workshop.write_task()
    spoil(workshop.root / "catalog" / "datasets" / "tickets.csv")

    outcome = workshop.run("task", "validate", "tickets")

    assert outcome.code == 2
    assert outcome.err.count("Error: ") == 1
    assert "tickets.csv" in outcome.err
    assert problem in outcome.err
    assert "Mend: " in outcome.err
    assert place is None or place in outcome.err


def test_duplicate_ids_are_named_by_row(workshop):
    workshop.write_task(replaced("  output: label", "  output: label\n  id: number"))
    path = workshop.root / "catalog" / "datasets" / "tickets.csv"
    path.write_text("number,text,label\n1,My card,billing\n1,My parcel,delivery\n", encoding="utf-8")

    outcome = workshop.run("task", "validate", "tickets")

    assert outcome.code == 2
    assert "tickets.csv:3 [number]" in outcome.err
    assert "'1' stands already in row 2" in outcome.err


def test_bad_rows_below_the_limit_are_listed_and_no_error(workshop):
    workshop.write_task(replaced("max_quarantined: 0", "max_quarantined: 0.1"))
    strange_label(workshop.root / "catalog" / "datasets" / "tickets.csv")

    outcome = workshop.run("task", "validate", "tickets")

    assert outcome.code == 0
    assert "30 rows" in outcome.out
    assert "pets" in outcome.out
    row = workshop.run("task", "validate", "tickets", "--json").value["tasks"][0]["quarantined"][0]
    assert (row["row"], row["kind"], row["field"]) == (32, "invalid", "label")


def test_rows_that_only_look_different_are_warned_of(workshop):
    workshop.write_task(replaced("inputs: [text]", "inputs: [text, number]"))
    lines = [f"My card was charged twice,{number},billing" for number in range(30)]
    path = workshop.root / "catalog" / "datasets" / "tickets.csv"
    path.write_text("\n".join(["text,number,label", *lines]), encoding="utf-8")

    outcome = workshop.run("task", "validate", "tickets", "--json")

    finding = outcome.value["tasks"][0]["findings"]["split_leakage"]
    assert not finding["passed"]
    assert "Take number out of dataset.inputs" in finding["sentence"]


def test_all_tasks_are_checked_and_the_good_ones_are_not_hidden(workshop):
    workshop.write_task()
    (workshop.tasks / "broken.yaml").write_text("name: [", encoding="utf-8")

    outcome = workshop.run("task", "validate", "--json")

    assert outcome.code == 2
    assert {task["name"]: task["ok"] for task in outcome.value["tasks"]} == {"tickets": True, None: False}


def test_a_file_can_be_checked_wherever_it_is(workshop):
    path = workshop.write_task()

    assert workshop.run("task", "validate", str(path)).code == 0


def test_an_error_is_json_too(workshop):
    outcome = workshop.run("task", "show", "nothing", "--json")

    assert outcome.code == 2
    error = json.loads(outcome.out)
    assert error["error"] == "NotFoundError"
    assert "nothing" in error["problem"]


def test_without_a_catalog_the_error_says_how_to_get_one(workshop, monkeypatch):
    monkeypatch.setenv("PROMPTORY_CATALOG", "nowhere")

    for command in (("task", "list"), ("demo",), ("optimize", "tickets")):
        outcome = workshop.run(*command)
        assert outcome.code == 2
        assert "PROMPTORY_CATALOG" in outcome.err
        assert "task init" in outcome.err


def test_the_demo_without_its_sample_task_says_so(workshop):
    workshop.write_task()

    outcome = workshop.run("demo")

    assert outcome.code == 2
    assert "support_triage" in outcome.err
    assert not (workshop.root / "home").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("prompt", "list", "tickets"),
        ("cost",),
        ("db", "status"),
        ("call", "tickets", "--input", "text=a"),
    ],
)
def test_without_a_database_the_error_says_how_to_make_one(workshop, command):
    workshop.write_task()

    outcome = workshop.run(*command)

    assert outcome.code == 2
    assert "promptory db upgrade" in outcome.err
    assert not (workshop.root / "home").exists()


def test_a_bad_settings_file_is_named(workshop):
    (workshop.root / "promptory.yaml").write_text("budgets: {day: -1}\n", encoding="utf-8")

    outcome = workshop.run("health")

    assert outcome.code == 2
    assert "promptory.yaml" in outcome.err
    assert "budgets" in outcome.err


def test_verbose_shows_where_an_error_came_from(workshop):
    outcome = workshop.run("--verbose", "task", "show", "nothing")

    assert outcome.code == 2
    assert "Traceback" in outcome.err
