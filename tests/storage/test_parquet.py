"""Parquet read in part, and without anything that outlives the reading."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from resources.storage.parquet import read_batches, read_row_group, read_table
from resources.storage.reading import open_to_read

ROWS = 30
TABLE = pa.table(
    {
        "row_id": [str(number) for number in range(ROWS)],
        "score.exact": [number / ROWS for number in range(ROWS)],
        "score": [float(number) for number in range(ROWS)],
        "call_ids": [[f"{number}a", f"{number}b"] for number in range(ROWS)],
    }
)

END_OF_A_COMMAND = """
import sys
from upath import UPath
from resources.storage.parquet import read_row_group, read_table

path = UPath(sys.argv[1])
{}
"""


@pytest.fixture
def path(root: UPath) -> UPath:
    """The table in three row groups, in a storage root of every kind."""
    made = root / "table.parquet"
    made.parent.mkdir(parents=True, exist_ok=True)
    with made.open("wb") as stream:
        pq.write_table(TABLE, stream, row_group_size=10, compression="zstd")
    return made


def test_a_table_comes_whole_or_in_the_columns_asked_for(path: UPath) -> None:
    assert read_table(path).equals(TABLE)
    assert read_table(path, ["score", "row_id"]).equals(TABLE.select(["score", "row_id"]))
    assert read_row_group(path, 1).equals(TABLE.slice(10, 10))
    assert read_row_group(path, 2, ["call_ids"])["call_ids"].to_pylist()[0] == ["20a", "20b"]
    with open_to_read(path) as stream:
        assert [batch.num_rows for batch in read_batches(stream, 10)] == [10, 10, 10]


def test_filters_choose_rows_by_columns_that_need_not_be_wanted(path: UPath) -> None:
    found = read_table(path, ["score"], [("row_id", "in", ["3", "17"]), ("score", ">", 3)])
    assert found.to_pydict() == {"score": [17.0]}
    assert read_table(path, ["row_id"], [("row_id", "==", "29")]).to_pydict() == {"row_id": ["29"]}
    assert read_table(path, filters=[("row_id", ">=", "28"), ("row_id", "<=", "29")]).equals(TABLE.slice(28, 2))
    nothing = read_table(path, ["call_ids", "score"], [("row_id", "==", "nobody")])
    assert nothing.schema == TABLE.select(["call_ids", "score"]).schema
    assert nothing.num_rows == 0


def test_a_damaged_file_is_told_as_arrow_tells_it(root: UPath) -> None:
    broken = root / "broken.parquet"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises((OSError, pa.ArrowException)):
        read_table(broken)
    with pytest.raises(OSError):
        read_table(root / "nothing.parquet")


@pytest.mark.parametrize(
    "read", ["read_table(path)", "read_table(path, ['score'], [('row_id', '==', '1')])", "read_row_group(path, 0)"]
)
def test_a_process_that_has_read_may_end_at_once(read: str, tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    pq.write_table(TABLE, file)
    command = [sys.executable, "-c", END_OF_A_COMMAND.format(read), str(file)]
    ends = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(4)]
    assert ends == [os.EX_OK] * 4, f"-{signal.SIGABRT} is Arrow's, letting go of a Python file too late"
