"""Sources with something odd in them: it is told where it is, and spoils nothing else."""

from __future__ import annotations

import asyncio
import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batches.conftest import Floor, write_csv
from upath import UPath

from domain.errors import InputError
from resources.batch_inference.drain import Drain, Drained
from resources.batch_inference.sources import FileSource, read_csv

BEYOND = pa.array([3_000_000], pa.int32()).cast(pa.date32())
"""A day after the year 9999."""


@pytest.mark.parametrize(
    ("cell", "problem"),
    [(BEYOND, "date32"), (pa.array([1], pa.timestamp("us", "Mars/Base")), "Mars/Base")],
)
def test_a_cell_that_python_does_not_have_is_left_out(cell: pa.Array, problem: str, tmp_path: Path):
    plain = pa.nulls(1, cell.type)
    table = pa.table({"text": ["one", "two"], "day": pa.chunked_array([plain, cell])})
    pq.write_table(table, tmp_path / "in.parquet")
    first, second = FileSource(UPath(tmp_path / "in.parquet")).rows()
    assert (first.number, first.values["text"], first.unreadable) == (1, "one", {})
    assert (second.number, second.values) == (2, {"text": "two"})
    assert problem in second.unreadable["day"]


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(tmp_path: Path):
    table = pa.Table.from_arrays([pa.array(["one"]), pa.array(["two"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(InputError, match="names 'text' twice"):
        list(FileSource(UPath(tmp_path / "in.parquet")).rows())


ROWS = [f"{number},row {number}\n" for number in range(1, 1001)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({960: '960,"quoted once\n'}, "line 961 is still open at the end of the file"),
        ({960: '960,"quoted once\n', 970: '970,"fine"\n'}, "line 961 is still open at line 971"),
        ({960: '960,"' + "x" * 6_000_000 + "\n", 961: "x" * 6_000_000 + "\n"}, "line 961 is still open at line 962"),
        ({960: "x" * 11_000_000}, "10,000,000 characters"),
        ({0: 'id,"text\n'}, "line 1 is still open at the end of the file"),
    ],
)
def test_a_quote_left_open_swallows_no_row_unnoticed(changes: dict[int, str], told: str):
    lines = ["id,text\n", *ROWS]
    for place, line in changes.items():
        lines[place] = line
    with pytest.raises(InputError, match=told) as caught:
        list(read_csv(io.BytesIO("".join(lines).encode()), UPath("in.csv")))
    assert (caught.value.file, caught.value.row) == ("in.csv", min(changes) + 1)


def test_a_line_quoted_wrongly_is_a_row_that_cannot_be_used():
    text = b'id,text\n1,"He said "hi" to me"\n2,5" screen\n3,"two\nlines"\n'
    rows = [(row.number, row.values.get("text"), row.problem) for row in read_csv(io.BytesIO(text), UPath("in.csv"))]
    assert rows == [
        (2, None, "not readable as CSV: ',' expected after '\"'"),
        (3, '5" screen', None),
        (4, "two\nlines", None),
    ]


def test_an_odd_file_stops_no_other(floor: Floor, tmp_path: Path):
    landing = tmp_path / "landed" / "crates"
    write_csv(landing / "a.csv", range(3))
    pq.write_table(pa.table({"text": ["Crate number 3"], "day": BEYOND}), landing / "b.parquet")
    pq.write_table(pa.table({"text": BEYOND}), landing / "c.parquet")
    write_csv(landing / "d.csv", range(5, 7))
    for file in landing.iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))

    drained = asyncio.run(_drain(floor, tmp_path / "landed"))
    assert drained.taken_in == 3
    assert sorted(floor.asked()) == [0, 1, 2, 3, 5, 6]
    ((name, problem),) = drained.refused
    assert name == "c.parquet"
    assert "text: a value of type date32[day] that cannot be read" in problem


async def _drain(floor: Floor, folder: Path) -> Drained:
    async with floor.worker() as worker:
        drain = Drain(floor.database, floor.root, UPath(folder), floor.task, worker, lambda: datetime.now(UTC))
        return await drain.run()
