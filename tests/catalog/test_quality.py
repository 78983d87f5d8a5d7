"""What the checks of a dataset see: what the prompt sends counts, not which columns the rows have beside it."""

from __future__ import annotations

from pathlib import Path

from upath import UPath

from assets.datasets.quality import leakage_finding, near_leakage_finding
from domain.dataset import Row, Split
from domain.rendering import fields_read
from domain.task import Task
from resources.catalog.ingest import ingest


def rows_of(task: Task, path: Path, lines: list[str]) -> list[Row]:
    path.write_text("\n".join(["text,ticket,label", *lines]))
    return list(ingest(task, [UPath(path)]).rows.values())


def test_rows_that_differ_in_an_unread_column_only_leak(spec: dict, tmp_path: Path) -> None:
    spec["dataset"]["inputs"] = ["text", "ticket"]
    task = Task.model_validate(spec)
    rows = rows_of(task, tmp_path / "rows.csv", [f"thing {n % 100},{n},red" for n in range(400)])
    read = fields_read(task.prompt.version())
    shown = {row.inputs["text"] for row in rows if row.split is not Split.TEST}
    leaked = sum(row.inputs["text"] in shown for row in rows if row.split is Split.TEST)
    assert leaked > 80

    finding = leakage_finding(rows, read)

    assert not finding.passed
    assert f"{leaked} of {sum(row.split is Split.TEST for row in rows)} test rows look the same" in finding.sentence
    assert "ticket out of dataset.inputs" in finding.sentence
    assert not near_leakage_finding(rows, read).passed
    read_too = spec["prompt"] | {"output_prompt": "{{ text }} ({{ ticket }})"}
    read = fields_read(Task.model_validate(spec | {"prompt": read_too}).prompt.version())
    assert leakage_finding(rows, read).passed
    assert near_leakage_finding(rows, read).passed


def test_fields_of_the_row_are_those_that_no_earlier_step_answers(spec: dict) -> None:
    spec["dataset"]["inputs"] = ["text", "ticket"]
    steps = [
        {"name": "facts", "output_prompt": "{{ text }}"},
        {"name": "answer", "output_prompt": "{{ facts }} of {{ ticket }}"},
    ]
    spec["prompt"] = {"model": "offline/nearest", "steps": steps}
    assert fields_read(Task.model_validate(spec).prompt.version()) == {"text", "ticket"}
