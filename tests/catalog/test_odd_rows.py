"""One odd row is set aside with its reason, or is no row at all; it neither stops the file nor turns into nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from domain.batch.rows import make_input_row
from domain.errors import InputError
from domain.task import Task
from resources.catalog.ingest import Ingested, ingest

GOOD = [{"text": f"thing {number}", "label": "red"} for number in range(20)]


def jsonl(task: Task, folder: Path, records: list[dict[str, Any]]) -> Ingested:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records))
    return ingest(task, [UPath(path)])


@pytest.mark.parametrize("value", [{"a": True}, ["a", "b"], []])
def test_what_a_batch_refuses_is_no_input_of_a_dataset(task: Task, tmp_path: Path, value: object) -> None:
    result = jsonl(task, tmp_path, [*GOOD, {"text": value, "label": "red"}])

    [row] = result.quarantined
    assert (row.row, row.kind, row.field) == (21, "invalid", "text")
    refused = make_input_row(1, 1, {"text": value}, ("text",), None)
    assert refused.problem == f"text: {row.problem}"
    assert len(result.rows) == 20


def test_bytes_of_a_parquet_file_are_no_text(task: Task, tmp_path: Path) -> None:
    table = pa.table({"text": [b"thing"] * 2, "label": ["red"] * 2})
    pq.write_table(table, tmp_path / "rows.parquet")
    every = task.model_copy(update={"dataset": task.dataset.model_copy(update={"max_quarantined": 1.0})})
    with pytest.raises(Exception, match="2 of 2 rows cannot be used; the first: the field is bytes, not text"):
        ingest(every, [UPath(tmp_path / "rows.parquet")])


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(task: Task, tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["thing"])] * 3, names=["text", "label", "text"])
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="names 'text' twice"):
        ingest(task, [UPath(tmp_path / "rows.parquet")])


@pytest.mark.parametrize("optional", [{}, {"note": None}, {"note": ""}])
def test_null_empty_and_absent_are_one_input(spec: dict, tmp_path: Path, optional: dict[str, Any]) -> None:
    spec["dataset"]["inputs"] = ["text", "note"]
    task = Task.model_validate(spec)
    result = jsonl(task, tmp_path, [*[{**row, **optional} for row in GOOD], {"note": "n", "text": "x", "label": "red"}])
    assert not result.quarantined
    assert [row.inputs["note"] for row in result.rows.values()] == [""] * 20 + ["n"]


@pytest.mark.parametrize("value", [10**400, "9" * 400, float("nan")], ids=["huge", "digits", "nan"])
def test_a_number_that_is_none_spoils_its_row_only(spec: dict, tmp_path: Path, value: object) -> None:
    spec["prompt"]["output"], spec["evaluators"] = {"kind": "number"}, [{"kind": "numeric"}]
    good = [{**row, "label": 7} for row in GOOD]
    result = jsonl(Task.model_validate(spec), tmp_path, [*good, {"text": "odd", "label": value}])
    [row] = result.quarantined
    assert (row.row, row.field) == (21, "label")
    assert len(row.problem) < 120


@pytest.mark.parametrize("blank", [",", " , ", '"",""'])
def test_blank_rows_of_spreadsheets_are_no_rows(task: Task, tmp_path: Path, blank: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["text,label", "a,red", blank, "b,red", *[blank] * 9]))
    result = ingest(task, [UPath(path)])
    assert (len(result.rows), result.quarantined) == (2, [])
