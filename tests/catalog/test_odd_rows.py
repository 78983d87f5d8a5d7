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
