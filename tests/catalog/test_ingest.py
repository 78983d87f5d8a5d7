"""From files to rows: all formats agree, bad rows are set aside with their reason, nothing is lost in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from domain.dataset import MAX_CELL_CHARACTERS, dataset_version_id
from domain.errors import InputError
from domain.task import Task
from resources.catalog.ingest import ingest, landing_files

ROWS = [("the sky", "blue"), ("a rose", "red"), ("the sea, at noon", "blue"), ('"quoted" brick', "red")]


def write_csv(path: Path, rows: list[tuple[str, str]], header: str = "text,label") -> UPath:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    path.write_text("\n".join([header, *(f"{cell(a)},{cell(b)}" for a, b in rows)]) + "\n", encoding="utf-8")
    return UPath(path)


def write_huggingface(folder: Path, rows: list[tuple[str, str]]) -> UPath:
    names = ["red", "blue"]
    part = folder / "train"
    part.mkdir(parents=True)
    table = pa.table({"text": [a for a, _ in rows], "label": [names.index(b) for _, b in rows]})
    with pa.OSFile(str(part / "data-00000-of-00001.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (part / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    features = {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": names}}
    (part / "dataset_info.json").write_text(json.dumps({"features": features}))
    return UPath(folder)


def test_every_format_gives_the_same_version(task: Task, tmp_path: Path) -> None:
    records = [{"text": a, "label": b} for a, b in ROWS]
    jsonl = tmp_path / "rows.jsonl"
    jsonl.write_text("\n".join(json.dumps(record) for record in records))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "rows.parquet")
    tsv = tmp_path / "rows.tsv"
    tsv.write_text("text\tlabel\n" + "\n".join('"' + a.replace('"', '""') + '"\t' + b for a, b in ROWS))
    sources = [
        write_csv(tmp_path / "rows.csv", ROWS),
        UPath(jsonl),
        UPath(tmp_path / "rows.parquet"),
        UPath(tsv),
        write_huggingface(tmp_path / "hf", ROWS),
        write_csv(tmp_path / "reversed.csv", ROWS[::-1]),
    ]
    ids = {dataset_version_id(ingest(task, [source]).rows.values()) for source in sources}
    assert len(ids) == 1


def test_bad_rows_are_set_aside_with_line_and_reason(task: Task, tmp_path: Path) -> None:
    good = [(f"thing {number}", "red") for number in range(40)]
    bad = [("purple thing", "purple"), ("", "red"), ("x" * (MAX_CELL_CHARACTERS + 1), "red"), ("thing 3", "blue")]
    result = ingest(task, [write_csv(tmp_path / "rows.csv", [*good, *bad, ("Thing  4", "red")])])
    assert len(result.rows) == 40
    by_row = {row.row: row for row in result.quarantined}
    assert "purple" in by_row[42].problem
    assert "red, blue" in (by_row[42].mend or "")
    assert "empty" in by_row[43].problem
    assert "characters" in by_row[44].problem
    assert "another answer" in by_row[45].problem
    assert by_row[46].kind == "duplicate"


def test_a_row_with_the_wrong_number_of_cells_is_named(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"thing {number},red" for number in range(30)]
    path.write_text("\n".join(["text,label", *lines[:10], "one,two,three", *lines[10:]]))
    [row] = ingest(task, [UPath(path)]).quarantined
    assert (row.row, row.kind) == (12, "invalid")
    assert "3 cells" in row.problem


def test_multi_line_cells_keep_the_line_numbers_right(task: Task, tmp_path: Path) -> None:
    rows = [("first\nline two", "red"), *[(f"thing {n}", "red") for n in range(20)], ("odd", "green")]
    [row] = ingest(task, [write_csv(tmp_path / "rows.csv", rows)]).quarantined
    assert row.row == 24


@pytest.mark.parametrize(
    ("content", "problem", "row"),
    [
        (b"", "empty", None),
        (b"text,label\n", "no row", None),
        (b"text,colour\na,red\n", "no column 'label'", 1),
        (b"text,text\na,red\n", "twice", 1),
        (b"text,label\ncaf\xe9,red\n", "not UTF-8", 2),
        (b"text,label\na,green\nb,green\n", "2 of 2 rows", 2),
        (b'text,label\na,red\n"b,red\nc,blue\nd,red\n', "line 3 is still open at the end of the file", 3),
    ],
)
def test_an_unusable_file_is_one_error(task: Task, tmp_path: Path, content: bytes, problem: str, row: int) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        ingest(task, [UPath(path)])
    assert caught.value.file == str(path)
    assert caught.value.row == row


def test_missing_file_and_unknown_format(task: Task, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        ingest(task, [UPath(tmp_path / "none.csv")])
    (tmp_path / "rows.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="unknown dataset format"):
        ingest(task, [UPath(tmp_path / "rows.xlsx")])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="Parquet"):
        ingest(task, [UPath(tmp_path / "broken.parquet")])


def test_a_date_that_python_does_not_have_spoils_who_needs_it(spec: dict, tmp_path: Path) -> None:
    days = pa.array([3_000_000 if number == 7 else number for number in range(20)], pa.int32()).cast(pa.date32())
    columns = {"text": [f"thing {number}" for number in range(20)], "label": ["red"] * 20, "day": days}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    assert not ingest(Task.model_validate(spec), [UPath(tmp_path / "rows.parquet")]).quarantined
    spec["dataset"]["id"] = "day"
    [row] = ingest(Task.model_validate(spec), [UPath(tmp_path / "rows.parquet")]).quarantined
    assert (row.row, row.field) == (8, "day")
    assert "date32" in row.problem


def test_duplicate_ids_are_set_aside(spec: dict, tmp_path: Path) -> None:
    spec["dataset"]["id"] = "key"
    task = Task.model_validate(spec)
    path = tmp_path / "rows.csv"
    rows = "\n".join(f"k{number},thing {number},red" for number in range(20))
    path.write_text(f"key,text,label\n{rows}\nk3,another,red\n")
    [row] = ingest(task, [UPath(path)]).quarantined
    assert "stands already in row 5" in row.problem


def test_a_later_file_replaces_rows_with_its_input_or_id(task: Task, tmp_path: Path) -> None:
    first = write_csv(tmp_path / "a.csv", [("the sky", "red"), ("a rose", "red")])
    later = write_csv(tmp_path / "b.csv", [("The  SKY", "blue"), ("new", "red")])
    rows = ingest(task, [first, later]).rows.values()
    assert {(row.inputs["text"], row.output) for row in rows} == {
        ("The  SKY", "blue"),
        ("a rose", "red"),
        ("new", "red"),
    }


def test_uploads_under_way_are_not_landed(tmp_path: Path) -> None:
    folder = tmp_path / "colours"
    folder.mkdir()
    for name in ("b.csv", "a.csv", ".hidden.csv", "c.csv.part", "_d.csv"):
        (folder / name).write_text("text,label\n")
    assert [path.name for path in landing_files(UPath(tmp_path), "colours")] == ["a.csv", "b.csv"]


def test_answers_are_cut_out_by_a_pattern(spec: dict, tmp_path: Path) -> None:
    spec["dataset"] |= {"answer_pattern": r"#### (-?[\d,.]+)"}
    spec["prompt"]["output"] = {"kind": "number"}
    spec["evaluators"] = [{"kind": "numeric"}]
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "how many?", "label": "so 1,000 it is\\n#### 1,000"}')
    [row] = ingest(Task.model_validate(spec), [UPath(path)]).rows.values()
    assert row.output == 1000.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=8))
def test_every_line_of_a_file_is_used_or_listed(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    spec = {
        "name": "any",
        "dataset": {"source": "x", "inputs": ["text"], "output": "label", "max_quarantined": 1.0},
        "prompt": {"model": "offline/nearest", "output_prompt": "{{ text }}"},
        "evaluators": [{"kind": "exact_match"}],
    }
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": "x"}) for text in ["always there", *lines]))
    result = ingest(Task.model_validate(spec), [UPath(path)])
    assert len(result.rows) + len(result.quarantined) == len(lines) + 1
