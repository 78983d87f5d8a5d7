"""`promptory task`: listing, showing, drafting."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from resources.catalog.task_file import load_task


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def init(workshop, source: Path, output: str, *more: str):
    return workshop.run("task", "init", "--from", str(source), "--input", "text", "--output", output, *more)


def test_tasks_are_listed_without_a_database(workshop):
    workshop.write_task()

    outcome = workshop.run("task", "list", "--json")

    assert outcome.code == 0
    (task,) = outcome.value["tasks"]
    assert (task["name"], task["output"], task["metric"]) == ("tickets", "choice", "choice_label")
    assert task["dataset"] is None
    assert not (workshop.root / "home").exists()
    assert "tickets" in workshop.run("task", "list").out


def test_a_task_is_shown_with_its_defaults(workshop):
    workshop.write_task()

    outcome = workshop.run("task", "show", "tickets")

    assert "alpha: 0.05" in outcome.out
    assert "reference_draws: 3" in outcome.out


def test_77_labels_become_a_choice(workshop):
    labels = [f"intent_{number:02}" for number in range(77)]
    rows = [[f"please help with {label}, attempt {attempt}", label] for label in labels for attempt in range(9)]
    source = write_csv(workshop.root / "queries.csv", ["text", "category"], rows)

    outcome = init(workshop, source, "category", "--json")

    assert outcome.code == 0
    assert outcome.value["output"]["kind"] == "choice"
    task = load_task(workshop.tasks / "queries.yaml")
    assert list(task.prompt.steps[-1].output.choices) == labels
    assert task.dataset.source == "../../queries.csv"
    assert workshop.run("task", "validate", "queries").code == 0


@pytest.mark.parametrize(
    ("answers", "kind", "metric"),
    [
        ([f"{number}.5" for number in range(40)], "number", "numeric"),
        (["$1,200", "17", "-3", "88%"] * 10, "number", "numeric"),
        ([f"so it is {number}\n#### {number}" for number in range(40)], "number", "numeric"),
        (["0", "1"] * 20, "choice", "choice_label"),
        (["yes", "no"] * 20, "choice", "choice_label"),
        (["null", "true", "1e3", "~"] * 10, "choice", "choice_label"),
        ([json.dumps({"id": f"A{number}", "n": number}) for number in range(40)], "json", "json_fields"),
        ([f"Answer {number}" for number in range(40)], "text", "exact_match"),
        ([f"A long answer {number} " + "that goes on and on " * 5 for number in range(40)], "text", "token_f1"),
    ],
)
def test_the_contract_follows_from_the_answers(workshop, answers, kind, metric):
    rows = [[f"question number {index}", answer] for index, answer in enumerate(answers)]
    source = write_csv(workshop.root / "sample.csv", ["text", "answer"], rows)

    outcome = init(workshop, source, "answer", "--json")

    assert outcome.code == 0
    assert (outcome.value["output"]["kind"], outcome.value["evaluators"][0]) == (kind, metric)
    assert (outcome.value["rows"], outcome.value["quarantined"]) == (40, 0)


def test_several_output_columns_make_one_object(workshop):
    rows = [[f"order {number}", number, ["late", "broken"][number % 2]] for number in range(40)]
    source = write_csv(workshop.root / "orders.csv", ["text", "order", "why"], rows)

    outcome = init(workshop, source, "order,why", "--json")

    assert outcome.value["output"]["schema"]["properties"]["why"] == {"enum": ["broken", "late"]}


def test_two_spellings_of_a_label_become_one(workshop):
    answers = ["Refund"] * 10 + ["refund"] * 3 + ["billing"] * 10
    source = write_csv(workshop.root / "s.csv", ["text", "a"], [[f"text {n}", a] for n, a in enumerate(answers)])

    outcome = init(workshop, source, "a", "--json")

    assert [label for label, _ in outcome.value["output"]["choices"]] == ["billing", "Refund"]


def test_a_task_file_is_not_overwritten_unless_forced(workshop):
    path = workshop.write_task()
    before = path.read_text()
    arguments = (workshop.write_rows(), "label", "--name", "tickets")

    refused = init(workshop, *arguments)

    assert refused.code == 2
    assert "--force" in refused.err
    assert path.read_text() == before
    assert init(workshop, *arguments, "--force").code == 0
    assert path.read_text() != before


@pytest.mark.parametrize(
    ("header", "output", "problem"),
    [
        (["text", "label"], "category", "no column 'category'"),
        (["text", "label"], "text", "both input and output"),
        (["text", ""], "", "no column ''"),
    ],
)
def test_columns_that_do_not_fit_are_refused_and_nothing_is_left(workshop, header, output, problem):
    source = write_csv(workshop.root / "s.csv", header, [[f"text {n}", "a"] for n in range(9)])

    outcome = init(workshop, source, output)

    assert outcome.code == 2
    assert problem in outcome.err
    assert list(workshop.tasks.iterdir()) == []


def test_a_draft_that_cannot_be_used_leaves_nothing(workshop):
    source = write_csv(workshop.root / "few.csv", ["text", "label"], [["one", "a"], ["two", "b"]])

    outcome = init(workshop, source, "label")

    assert outcome.code == 2
    assert "split would be empty" in outcome.err
    assert list(workshop.tasks.iterdir()) == []


def test_a_column_that_no_template_could_name_is_refused(workshop):
    source = write_csv(workshop.root / "s.csv", ["The Text", "label"], [[f"text {n}", "a"] for n in range(9)])

    outcome = workshop.run("task", "init", "--from", str(source), "--input", "The Text", "--output", "label")

    assert outcome.code == 2
    assert "rename it" in outcome.err


def test_what_starts_by_the_clock_is_shown_with_its_next_time(workshop):
    schedule = (
        'schedule: {time_zone: Europe/Berlin, optimize: "0 3 * * *", start_experiment: "0 9 1 * *"}\n'
        "experiment: {metric: {name: solved}}\n"
    )
    workshop.write_task(lambda text: text + schedule)
    assert workshop.run("db", "upgrade").code == 0

    (first, second) = workshop.run("schedules", "--json").value["schedules"]

    assert (first["start"], first["cron"], first["refused_now"]) == ("optimize", "0 3 * * *", None)
    assert first["next"][11:16] == "03:00"
    assert second["start"] == "start_experiment"
    assert second["next"][8:16] == "01T09:00"
    assert "production" in second["refused_now"]  # there is none yet
    told = workshop.run("schedules", "tickets").out
    assert "No experiment of tickets would start now" in told
    assert "next start_experiment" in workshop.run("task", "show", "tickets").out
