"""A judge against people: on dev, once, with a warning where they part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation.desk import Desk, task_of
from evaluation.scripted_judge import judged, part, with_judge
from servers.openai_server import OpenAIServer
from upath import UPath

from domain.dataset import Row, Split
from domain.errors import InputError
from resources.catalog.ingest import ingest

CALIBRATED: dict[str, Any] = {
    "kind": "judge",
    "model": "openai/judge",
    "rubric": "A good answer has many words.",
    "calibration": {"answer": "old_answer", "grade": "human"},
}
TEXT = {"output": {"kind": "text"}}


def calibrated_task(**changes: Any) -> Any:
    split = {"train": 0.0, "dev": 0.5, "test": 0.5}
    dataset = {"source": "x.csv", "inputs": ["text"], "output": "label", "split": split, **changes}
    return task_of([CALIBRATED], prompt=TEXT, dataset=dataset)


def read(folder: Path, lines: list[str], **changes: Any) -> Any:
    path = folder / "x.csv"
    path.write_text("\n".join(["text,label,old_answer,human", *lines]) + "\n", encoding="utf-8")
    return ingest(calibrated_task(**changes), [UPath(path)])


def rows_graded_by(folder: Path, human: dict[int, str]) -> list[Row]:
    """Forty rows whose old answers have 1 to 5 words; `human` gives grades by number of words."""
    lines = [f"crate {n},shed,{' '.join(['word'] * (1 + n % 5))},{human.get(1 + n % 5, '')}" for n in range(40)]
    return list(read(folder, lines).rows.values())


def test_grades_of_people_come_with_the_rows_and_reach_no_prompt(
    tmp_path: Path, desk: Desk, server: OpenAIServer
) -> None:
    rows = rows_graded_by(tmp_path, {1: "1", 2: "2", 5: "5"})
    server.behaviour = with_judge(lambda _: "an answer")
    desk.evaluate(calibrated_task(), rows)

    assert {tuple(row.annotations) for row in rows} == {("old_answer", "human"), ("old_answer",)}
    asked = [body for body in server.requests if body["model"] == "scripted"]
    assert asked
    assert not any("word" in str(body["messages"]) for body in asked)
    assert desk.dataset(rows).id != desk.dataset([row_without(row) for row in rows]).id


def row_without(row: Row) -> Row:
    return Row(row.row_id, row.inputs, row.output, row.split, row.input_id)


def test_a_judge_that_agrees_with_people_is_shown_to(tmp_path: Path, desk: Desk, server: OpenAIServer) -> None:
    rows = rows_graded_by(tmp_path, {words: str(words) for words in (1, 2, 4, 5)})
    server.behaviour = with_judge(lambda _: "an answer")
    done = desk.evaluate(calibrated_task(), rows)
    dev = [row for row in rows if row.split is Split.DEV]
    graded = [row for row in dev if "human" in row.annotations]
    found = done.record.summary["calibration"]["judge"]

    assert (found["graded"], found["failed"], found["rows"]) == (len(graded), 0, len(graded))
    assert 0 < len(graded) < len(dev)
    assert found["accuracy"] == found["kappa"] == pytest.approx(1)
    assert sum(map(sum, found["confusion"])) == len(graded)
    assert found["warning"] is None

    asked = len(server.bodies)
    desk.evaluate(calibrated_task(), rows)
    assert len(server.bodies) == asked


def test_a_judge_that_does_not_is_warned_of(tmp_path: Path, desk: Desk, server: OpenAIServer) -> None:
    rows = rows_graded_by(tmp_path, {words: str(6 - words) for words in range(1, 6)})
    server.behaviour = with_judge(lambda _: "an answer")
    found = desk.evaluate(calibrated_task(), rows).record.summary["calibration"]["judge"]
    assert found["weighted_kappa"] < 0
    assert found["warning"].startswith("judge agrees too little with people: kappa is -")


def test_judgements_that_cannot_be_read_are_counted(tmp_path: Path, desk: Desk, server: OpenAIServer) -> None:
    rows = rows_graded_by(tmp_path, {1: "1", 2: "2"})

    def fails_on_two(body: dict[str, Any]) -> str:
        return "hm" if part(body, "answer") == "word word" else '{"reason": "so", "grade": 1}'

    server.behaviour = with_judge(lambda _: "an answer", fails_on_two)
    found = desk.evaluate(calibrated_task(), rows).record.summary["calibration"]["judge"]
    assert 0 < found["failed"] < found["graded"] == found["failed"] + found["rows"]
    assert "one and the same grade" in found["warning"]


def test_people_are_asked_about_on_dev_only(tmp_path: Path, desk: Desk, server: OpenAIServer) -> None:
    rows = rows_graded_by(tmp_path, {5: "5"})
    server.behaviour = with_judge(lambda _: "an answer")
    done = desk.evaluate(calibrated_task(), rows, Split.TEST)
    assert done.record.summary["calibration"] == {}
    assert len(judged(server.requests)) == len(done.examples)


def test_nobody_having_graded_anything_is_said(tmp_path: Path, desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = with_judge(lambda _: "an answer")
    found = desk.evaluate(calibrated_task(), rows_graded_by(tmp_path, {})).record.summary["calibration"]["judge"]
    assert (found["graded"], found["failed"]) == (0, 0)
    assert "nobody knows how good a judge it is" in found["warning"]


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        ("a,shed,an answer,9", "human", "'9' is not on the judge's scale"),
        ("a,shed,an answer,2.5", "human", "'2.5' is not on the judge's scale"),
        ("a,shed,an answer,good", "human", "'good' is not on the judge's scale"),
        ("a,shed,,3", "old_answer", "a grade is given and no answer that it grades"),
    ],
)
def test_a_row_with_a_grade_that_is_none_is_set_aside(tmp_path: Path, line: str, field: str, problem: str) -> None:
    lines = [line, *(f"crate {n},shed,word,3" for n in range(20))]
    (row,) = read(tmp_path, lines).quarantined
    assert (row.row, row.field) == (2, field)
    assert problem in row.problem


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label,old_answer\na,shed,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="there is no column 'human'") as caught:
        ingest(calibrated_task(), [UPath(path)])
    assert caught.value.field == "evaluators.judge.calibration"
