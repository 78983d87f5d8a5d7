"""What the storage promises, on a local folder, in memory and on an S3 server."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from domain.dataset import DatasetVersion, Row, Split, SplitFractions, make_row
from domain.errors import ConfigurationError, InputError
from resources.batch_inference.landing import current_stamp, landed_files, not_taken_in
from resources.batch_inference.sources import FileSource
from resources.catalog.ingest import file_digest, landing_files
from resources.catalog.sources.registry import open_source
from resources.storage.atomic import write_atomically
from resources.storage.datasets import DatasetStore
from resources.storage.listing import entry_at, files_below, folder_names, list_folder
from resources.storage.location import is_local, path_at
from resources.storage.reach import location_problem
from resources.storage.table_export import export_records

LATER = datetime(2100, 1, 1, tzinfo=UTC).timestamp()


def put(path: UPath, text: str) -> UPath:
    write_atomically(path, lambda stream: stream.write(text.encode()))
    return path


def test_a_file_is_replaced_as_a_whole(root: UPath) -> None:
    path = put(root / "a" / "b" / "file.txt", "first, and longer")
    put(path, "second")
    assert path.read_text() == "second"
    put(path, "")
    assert path.read_bytes() == b""


@pytest.mark.filterwarnings("ignore:Sending a large body directly")  # gcsfs does
def test_a_file_of_many_megabytes_is_whole(root: UPath) -> None:
    """Stores take such a file in parts."""
    piece = bytes(range(256)) * 4096
    write_atomically(root / "large.bin", lambda stream: [stream.write(piece) for _ in range(12)])
    assert (root / "large.bin").read_bytes() == piece * 12


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_what_was_there(root: UPath, interruption: type[BaseException]) -> None:
    path = put(root / "folder" / "file.txt", "whole")

    def half(stream: io.RawIOBase) -> None:
        stream.write(b"half of")
        raise interruption

    for place in (path, root / "folder" / "new.txt"):
        with pytest.raises(interruption):
            write_atomically(place, half)
    assert path.read_text() == "whole"
    assert [entry.name for entry in list_folder(root / "folder")] == ["file.txt"]


def test_a_table_that_fails_on_the_way_is_not_written(root: UPath) -> None:
    schema = pa.schema([("day", pa.date32()), ("name", pa.string())])

    class Line:
        name = "x"

    def batches():
        yield [Line()] * 1000
        raise OSError("the database went away")

    path = root / "table.parquet"
    with pytest.raises(OSError, match="went away"):
        export_records(batches(), path, schema, day=date(2026, 11, 21))
    assert not path.exists()
    export_records([[Line()] * 5], path, schema, day=date(2026, 11, 21))
    with path.open("rb") as stream:
        assert pq.read_table(stream).num_rows == 5


def test_folders_say_what_lies_in_them(root: UPath) -> None:
    assert list_folder(root) == []
    assert folder_names(root) == set()
    assert entry_at(root / "task" / "a.csv") is None
    put(root / "task" / "b.csv", "bb")
    put(root / "task" / "a.csv", "a")
    put(root / "task" / "deeper" / "c.csv", "c")
    put(root / "other" / "x.csv", "x")

    found = list_folder(root / "task")
    assert [(entry.name, entry.is_folder) for entry in found] == [("a.csv", False), ("b.csv", False), ("deeper", True)]
    assert folder_names(root) == {"task", "other"}
    assert [entry.path.read_text() for entry in files_below(root / "task")] == ["a", "bb", "c"]
    assert list_folder(root / "task" / "nothing") == []
    assert len({entry.stamp for entry in found}) == 3


def test_a_stamp_changes_with_the_content(root: UPath) -> None:
    path = put(root / "task" / "a.csv", "one")
    (first,) = list_folder(root / "task")
    assert entry_at(path) == first
    assert current_stamp(first) == first.stamp
    put(path, "three" if is_local(root) else "two")  # in a store: as long, and within the same second
    (second,) = list_folder(root / "task")
    assert second.stamp != first.stamp
    assert current_stamp(first) == second.stamp
    path.unlink()
    assert current_stamp(first) is None


def test_batch_and_dataset_files_are_found(root: UPath) -> None:
    for name in ("b.csv", "a.jsonl", "_under_way.csv", ".hidden.csv", "upload.csv.part", "notes.txt"):
        put(root / "crates" / name, "text\nrow\n" if name.endswith("csv") else '{"text": "row"}\n')
    put(root / "crates" / "folder.csv" / "inside.csv", "text\n")

    found = landed_files(root, "crates", LATER)
    assert [file.name for file in found] == ["a.jsonl", "b.csv"]
    assert [[row.values for row in FileSource(file.path).rows()] for file in found] == [[{"text": "row"}]] * 2
    assert not_taken_in(found, {"a.jsonl": found[0].stamp}) == [found[1]]
    assert [file.name for file in landing_files(root, "crates")] == ["a.jsonl", "b.csv", "folder.csv", "notes.txt"]
    assert landed_files(root, "nothing", LATER) == landing_files(root, "nothing") == []


def test_a_folder_has_a_digest_of_its_files(root: UPath) -> None:
    put(root / "data" / "one.arrow", "1")
    put(root / "data" / "deep" / "two.arrow", "2")
    before = file_digest(root / "data")
    put(root / "data" / "deep" / "two.arrow", "3")
    assert file_digest(root / "data") != before != file_digest(root / "data" / "one.arrow")


def test_dataset_versions_are_kept(root: UPath) -> None:
    spec = SplitFractions(seed=1)
    rows: list[Row] = [make_row({"text": f"row {number}"}, "x", None, spec, {}) for number in range(30)]
    store = DatasetStore(root)
    path = store.write("d" * 64, rows)
    version = DatasetVersion(
        id="d" * 64, task="crates", version=1, storage_path=path, rows=30, split_rows={}, quarantined=0, sources=()
    )
    assert store.row_ids(version) == sorted(row.row_id for row in rows)
    assert {row.row_id for split in Split for row in store.read(version, [split])} == {row.row_id for row in rows}
    assert store.find(version, rows[3].row_id) == rows[3]


def test_a_location_that_can_be_used_has_no_problem(root: UPath) -> None:
    assert location_problem(str(root), writes=True) is None
    assert location_problem(str(root), writes=False) is None
    assert list_folder(root) == []


def test_a_missing_file_is_an_input_error(root: UPath) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(FileSource(root / "gone.csv").rows())


def test_a_damaged_file_is_not_taken_for_a_store_that_is_away(root: UPath) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": [f"row {number}" for number in range(1000)]}), stream)
    whole = stream.getvalue()
    for damaged in (whole[:-400] + b"\0" * 300 + whole[-100:], whole[:50], b"PAR1" * 30):
        write_atomically(root / "rows.parquet", lambda out, content=damaged: out.write(content))
        with pytest.raises(InputError):
            list(FileSource(root / "rows.parquet").rows())
        with pytest.raises(InputError):
            open_source(root / "rows.parquet")
    write_atomically(root / "rows.parquet", lambda out: out.write(whole))
    assert (
        len(list(FileSource(root / "rows.parquet").rows()))
        == len(list(open_source(root / "rows.parquet").rows))
        == 1000
    )


def test_a_local_path_stays_one(tmp_path) -> None:
    assert is_local(path_at(tmp_path))
    assert is_local(path_at(str(tmp_path)))
    assert is_local(path_at("relative/folder"))
    assert not is_local(path_at("memory://x"))


def test_a_url_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="no file system is known"):
        path_at("floppy://a/b")
    monkeypatch.setattr("resources.storage.location.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="needs the package s3fs") as refused:
        path_at("s3://bucket/x")
    assert "promptory[s3]" in str(refused.value.mend)
