"""Sources, snapshots, folders, outages and what is written: each on its own."""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from domain.batch.options import too_many_failed
from domain.batch.outcome import RowOutcome
from domain.batch.pace import Pace
from domain.batch.rows import make_input_row
from domain.batch.states import RowStatus
from domain.contracts import JsonContract, TextContract
from domain.errors import InputError, StateUnavailableError, UnansweredError
from resources.batch_inference.landing import SETTLE_S, landed_files, not_taken_in
from resources.batch_inference.outage import Outage
from resources.batch_inference.outcome_text import decode, encode
from resources.batch_inference.results import PartLayout, merge
from resources.batch_inference.snapshot import Snapshot, write_snapshot
from resources.batch_inference.sources import FileSource, read_csv, read_jsonl
from resources.batch_inference.stopping import CANCEL, Stop
from resources.storage.listing import folder_names

NOWHERE = UPath("nowhere")
texts = st.text(st.characters(codec=None), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(
    texts,
    values,
    st.sampled_from([0, 2**64 - 1, 2**64 + 1, -(2**63) - 1, 10**400]),
    st.lists(st.text(max_size=5), max_size=3),
)
def test_an_outcome_is_given_back_as_it_was(text: str, value: Any, large: int, calls: list[str]):
    value = [value, large]
    outcome = RowOutcome(RowStatus.OK, None, text, value, "c", tuple(calls), "m", 5, 6, 7, 0.25, cached=True)
    assert decode(encode(outcome)) == outcome


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3))
def test_any_values_make_a_row_that_can_be_stored(given_values: dict[str, Any]):
    row = make_input_row(1, 1, given_values, ("a", "b"), "c")
    stream = io.BytesIO()
    facts = write_snapshot([row], 10, stream)
    assert facts.rejected == (row.problem is not None)
    assert all(isinstance(text, str) for text in row.inputs.values())
    assert (row.problem is None) == (
        set(row.inputs) == {"a", "b"} and any(row.inputs.values()) and _plain(given_values)
    )


def _plain(given_values: dict[str, Any]) -> bool:
    plain = all(not isinstance(given_values[name], list | dict) for name in ("a", "b") if name in given_values)
    return plain and {"a", "b"} <= set(given_values) and not _surrogates(given_values["a"], given_values["b"])


def _surrogates(*found: Any) -> bool:
    return any("\ud800" <= character <= "\udfff" for one in found for character in str(one))


def test_a_snapshot_is_read_chunk_by_chunk_and_named_by_its_rows(tmp_path: Path):
    rows = [make_input_row(n, n, {"text": f"row {n}", "id": n}, ("text",), "id") for n in range(1, 24)]
    with (tmp_path / "rows.parquet").open("wb") as stream:
        facts = write_snapshot(rows, 10, stream)
    assert facts.chunks == [10, 10, 3]
    snapshot = Snapshot(UPath(tmp_path / "rows.parquet"))
    assert [row for chunk in range(3) for row in snapshot.read(chunk)] == rows
    assert write_snapshot(rows, 7, io.BytesIO()).rows_id == facts.rows_id
    assert write_snapshot(rows[1:], 10, io.BytesIO()).rows_id != facts.rows_id


class Counted(io.RawIOBase):
    """A file of endless lines that knows how much of it was read."""

    def __init__(self, head: bytes, line: bytes) -> None:
        self._head, self._line, self.read_bytes = head, line, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = (self._head or self._line * (len(buffer) // len(self._line) + 1))[: len(buffer)]
        self._head = b""
        buffer[: len(part)] = part
        self.read_bytes += len(part)
        return len(part)


@pytest.mark.parametrize(
    ("read", "head", "line"), [(read_csv, b"a,b\n", b"1,22222\n"), (read_jsonl, b'{"a": 0}\n', b'{"a": 1234}\n')]
)
def test_sources_are_read_in_bounded_memory(read: Any, head: bytes, line: bytes):
    source = Counted(head, line)
    rows = read(io.BufferedReader(source), NOWHERE)
    for _ in range(10_000):
        next(rows)
    assert source.read_bytes < 10_000 * len(line) + 200_000


def test_csv_cells_may_hold_lines_and_bad_bytes_spoil_their_row_only():
    text = b'\xef\xbb\xbfid,text\n1,"two\nlines"\n2,\xff\n3\n4,fine\n'
    rows = list(read_csv(io.BytesIO(text), NOWHERE))
    made = [make_input_row(n, raw.number, raw.values, ("text",), "id", raw.problem) for n, raw in enumerate(rows, 1)]
    assert [(row.source_row, row.key, row.problem is None) for row in made] == [
        (2, "1", True),
        (4, "2", False),
        (5, "3", False),
        (6, "4", True),
    ]
    assert made[0].inputs == {"text": "two\nlines"}
    assert "UTF-8" in (made[1].problem or "")


def test_a_format_nobody_knows_and_a_header_that_names_a_column_twice_are_refused():
    with pytest.raises(InputError, match="unknown batch format"):
        FileSource(UPath("rows.xlsx"))
    with pytest.raises(InputError, match="twice"):
        list(read_csv(io.BytesIO(b"a,a\n1,2\n"), NOWHERE))


def test_folders_show_what_is_whole_and_new(tmp_path: Path):
    folder = tmp_path / "crates"
    folder.mkdir()
    now = time.time()
    for name, age in (("old.csv", 60), ("young.csv", 1), ("x.csv.part", 60), (".x.csv", 60), ("x.txt", 60)):
        (folder / name).write_text("text\n1\n")
        os.utime(folder / name, (now - age,) * 2)
    (found,) = landed_files(UPath(tmp_path), "crates", now)
    assert found.name == "old.csv"
    assert folder_names(UPath(tmp_path)) == {"crates"}
    assert not_taken_in([found], {"old.csv": found.stamp}) == []
    assert len(landed_files(UPath(tmp_path), "crates", now + SETTLE_S)) == 2
    assert landed_files(UPath(tmp_path), "others", now) == []


def test_folders_at_a_url_work_alike():
    root = UPath("memory://batch-folders")
    (root / "crates").mkdir(parents=True)
    (root / "crates" / "rows.csv").write_text("text\n1\n")
    (root / "crates" / "_rows.csv").write_text("text\n1\n")
    (found,) = landed_files(root, "crates", time.time())
    assert found.name == "rows.csv"
    assert folder_names(root) == {"crates"}
    assert [row.values for row in FileSource(found.path).rows()] == [{"text": "1"}]


async def test_one_row_scouts_while_the_breaker_is_open():
    pauses: list[float] = []
    asked: Counter[int] = Counter()
    open_for = 3

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    outage = Outage(sleep)

    async def row(number: int) -> int:
        async def ask() -> int:
            asked[number] += 1
            await asyncio.sleep(0)
            if asked.total() <= 50 + open_for:
                error = StateUnavailableError("away") if number % 2 else UnansweredError("no", reason="circuit_open")
                raise error
            return number

        return await outage.ask(ask, Stop()) or 0

    assert await asyncio.gather(*(row(number) for number in range(50))) == list(range(50))
    assert asked.total() == 2 * 50 + open_for
    assert sum(pauses) == pytest.approx(5 + 10 + 20 + 40)


async def test_who_waits_for_a_provider_stops_when_told():
    stop = Stop()

    async def sleep(_seconds: float) -> None:
        stop.obey(CANCEL)
        await asyncio.sleep(0)

    async def ask() -> int:
        raise UnansweredError("no", reason="circuit_open")

    outage = Outage(sleep)
    assert await asyncio.gather(*(outage.ask(ask, stop) for _ in range(5))) == [None] * 5


def test_a_later_round_is_laid_over_what_stood_there():
    layout = PartLayout(TextContract(), "p", ("text",))
    rows = [make_input_row(n, n, {"text": "" if n == 3 else "x"}, ("text",), None) for n in (1, 2, 3)]
    failed = RowOutcome(RowStatus.FAILED, "no", call_id="a", call_ids=("a",), cost_nano_usd=7)
    first = merge(layout, rows, {1: RowOutcome(RowStatus.OK, text="one", call_ids=("b",)), 2: failed}, {}, 1)
    assert [one["status"] for one in first] == ["ok", "failed", "rejected"]
    again = RowOutcome(RowStatus.OK, text="two", call_id="c", call_ids=("c",), cost_nano_usd=5)
    second = merge(layout, rows, {2: again}, {one["row"]: one for one in first}, 2)
    assert [one["status"] for one in second] == ["ok", "ok", "rejected"]
    assert (second[1]["cost_nano_usd"], second[1]["call_ids"], second[1]["rounds"]) == (12, ["a", "c"], 2)
    assert second[0] == first[0]
    with pytest.raises(KeyError):
        merge(layout, rows, {}, {}, 1)


def test_fields_of_a_json_answer_have_columns_of_their_kind():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer"},
            "share": {"type": "number"},
            "sure": {"type": "boolean"},
            "parts": {"type": "array"},
        },
    }
    layout = PartLayout(JsonContract(schema=schema), "p", ())
    (row,) = [make_input_row(1, 1, {"text": "x"}, ("text",), None)]
    value = {"name": "n", "count": 2**70, "share": 1, "sure": True, "parts": [1]}
    made = layout.row(row, RowOutcome(RowStatus.OK, text="…", value=value), 1)
    found = {name: made[f"value_{name}"] for name in value}
    assert found == {"name": "n", "count": None, "share": 1.0, "sure": True, "parts": "[1]"}
    assert set(made) == set(layout.schema().names)

    for count, share, kept in ((10**400, 10**400, (None, None)), (-(2**63), 3, (-(2**63), 3.0)), (7.0, 0, (7, 0.0))):
        outcome = decode(encode(RowOutcome(RowStatus.OK, text="…", value={"count": count, "share": share})))
        made = layout.row(row, outcome, 1)
        assert (made["value_count"], made["value_share"]) == kept
        assert json.loads(made["value"]) == {"count": count, "share": share}


def test_pace_forgets_what_is_a_minute_old():
    pace = Pace()
    assert (pace.rows_per_s, pace.seconds_left(10)) == (0.0, None)
    for second in range(0, 200, 10):
        pace.count(float(second), 0 if second < 100 else (second - 100) * 5)
    assert math.isclose(pace.rows_per_s, 5.0)
    assert pace.seconds_left(50) == pytest.approx(10.0)


def test_a_handful_of_failures_says_nothing():
    assert not too_many_failed(99, 99, 0.5)
    assert too_many_failed(51, 100, 0.5)
    assert not too_many_failed(50, 100, 0.5)
