"""What is particular to an object store: other writers, many objects, uploads under way, stores that are away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers.s3_server import S3Server
from upath import UPath

from domain.errors import ConfigurationError, StateUnavailableError
from domain.task import Task
from resources.batch_inference.landing import current_stamp, landed_files
from resources.batch_inference.sources import FileSource
from resources.catalog.catalog import CatalogEntry
from resources.catalog.changes import ChangeWatch, Cursor
from resources.catalog.sources.registry import open_source
from resources.storage.atomic import write_atomically
from resources.storage.listing import folder_names, list_folder
from resources.storage.reach import location_problem

NOW = 4e9
MANY = int(os.environ.get("PROMPTORY_OBJECTS", "2000"))
PER_PAGE = 1000


def bucket_of(root: UPath) -> str:
    return root.path.strip("/")


def test_what_others_write_is_seen(s3_server: S3Server, s3_root: UPath) -> None:
    """fsspec remembers listings unless told not to: a sensor would never see a second file."""
    bucket = bucket_of(s3_root)
    s3_server.fill(bucket, "crates/{}.csv", 1, "text\n{}\n")
    (first,) = landed_files(s3_root, "crates", NOW)
    s3_server.fill(bucket, "crates/{}.csv", 2, "text\nother {}\n")
    found = landed_files(s3_root, "crates", NOW)
    assert [file.name for file in found] == ["0.csv", "1.csv"]
    assert found[0].stamp == current_stamp(first) != first.stamp
    assert (s3_root / "crates" / "1.csv").exists()
    s3_server.fill(bucket, "drums/{}.csv", 1, "text\n{}\n")
    assert folder_names(s3_root) == {"crates", "drums"}


def test_many_objects_cost_a_few_requests(s3_server: S3Server, s3_root: UPath) -> None:
    s3_server.fill(bucket_of(s3_root), "crates/{:05d}.csv", MANY, "text\n{}\n")
    before = s3_server.counts()
    assert len(landed_files(s3_root, "crates", NOW)) == MANY
    assert s3_server.since(before) == {"ListObjectsV2": MANY // PER_PAGE}


def test_a_tick_over_landed_objects_reads_the_new_ones_only(
    s3_server: S3Server, s3_root: UPath, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,red\n")
    spec = {
        "dataset": {"source": "rows.csv", "inputs": ["text"], "output": "label"},
        "prompt": {"model": "offline/nearest", "output_prompt": "{{ text }}", "output": {"kind": "text"}},
        "evaluators": [{"kind": "exact_match"}],
    }
    entries = [
        CatalogEntry(Task.model_validate({"name": name, **spec}), tmp_path / f"{name}.yaml")
        for name in ("colours", *(f"other_{number}" for number in range(20)))
    ]
    s3_server.fill(bucket_of(s3_root), "colours/{:03d}.csv", 50, "text,label\nrow {},red\n")

    def tick(cursor: Cursor) -> tuple[Cursor, dict[str, int]]:
        before = s3_server.counts()
        watch = ChangeWatch(cursor, s3_root)
        tasks = {entry.task.name: watch.fingerprint(entry) for entry in entries}
        return Cursor.load(Cursor(tasks, watch.digests).dump()), s3_server.since(before)

    first, asked = tick(Cursor())
    assert asked["GetObject"] == 50
    again, asked = tick(first)
    assert again.tasks == first.tasks
    assert asked == {"ListObjectsV2": 2}  # the landing folder, and that of the one task that has any
    s3_server.fill(bucket_of(s3_root), "colours/{:03d}.csv", 1, "text,label\nother {},red\n")
    changed, asked = tick(again)
    assert changed.tasks["colours"].dataset != again.tasks["colours"].dataset
    assert changed.tasks["other_1"] == again.tasks["other_1"]
    assert asked["GetObject"] == 1


def test_markers_of_folders_are_no_files(s3_server: S3Server, s3_root: UPath) -> None:
    """Consoles make an empty object whose name is the folder's."""
    for name in ("crates/", "crates/deeper/", "empty/"):
        s3_server.fill(bucket_of(s3_root), name, 1, "")
    s3_server.fill(bucket_of(s3_root), "crates/a.csv", 1, "text\n1\n")
    assert folder_names(s3_root) == {"crates", "empty"}
    assert [(entry.name, entry.is_folder) for entry in list_folder(s3_root / "crates")] == [
        ("a.csv", False),
        ("deeper", True),
    ]
    assert list_folder(s3_root / "empty") == []


def test_an_upload_under_way_is_not_there(s3_root: UPath) -> None:
    place = {"Bucket": bucket_of(s3_root), "Key": "crates/large.csv"}
    upload = s3_root.fs.call_s3("create_multipart_upload", **place)["UploadId"]
    part = s3_root.fs.call_s3("upload_part", **place, UploadId=upload, PartNumber=1, Body=b"text\n1\n")
    assert landed_files(s3_root, "crates", NOW) == []
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3_root.fs.call_s3("complete_multipart_upload", **place, UploadId=upload, MultipartUpload=parts)
    assert [file.name for file in landed_files(s3_root, "crates", NOW)] == ["large.csv"]


def test_a_store_that_is_away_spoils_no_file(s3_server: S3Server, s3_root: UPath) -> None:
    path = s3_root / "crates" / "a.csv"
    write_atomically(path, lambda stream: stream.write(b"text\nwhole\n"))
    (file,) = landed_files(s3_root, "crates", NOW)
    s3_server.refuse(503)
    with pytest.raises(StateUnavailableError, match="storage cannot be used"):
        list(FileSource(path).rows())
    with pytest.raises(StateUnavailableError, match="storage cannot be used"):
        open_source(path)
    with pytest.raises(StateUnavailableError):
        write_atomically(path, lambda stream: stream.write(b"text\nother\n"))
    with pytest.raises(StateUnavailableError):
        list_folder(s3_root)
    assert current_stamp(file) is None
    s3_server.refuse(0)
    assert [row.values for row in FileSource(path).rows()] == [{"text": "whole"}]


def test_what_is_wrong_with_a_location_is_told(s3_server: S3Server, s3_root: UPath) -> None:
    missing = location_problem("s3://no-such-bucket/promptory", writes=False)
    assert isinstance(missing, ConfigurationError)
    assert "no bucket 'no-such-bucket'" in missing.problem
    s3_server.refuse(503)
    away = location_problem(str(s3_root / "promptory"), writes=True)
    assert isinstance(away, StateUnavailableError)
    assert away.file == str(s3_root / "promptory")
    assert isinstance(location_problem("floppy://a", writes=False), ConfigurationError)


WRITER = """
import sys
from resources.catalog.sources.registry import open_source
from resources.storage.atomic import write_atomically
from resources.storage.location import path_at

write_atomically(path_at(sys.argv[1]), lambda stream: stream.write(b"x" * 8_000_000))
"""


def test_a_writer_killed_while_it_uploads_leaves_what_was_there(s3_server: S3Server, s3_root: UPath) -> None:
    old, new = s3_root / "folder" / "old.bin", s3_root / "folder" / "new.bin"
    write_atomically(old, lambda stream: stream.write(b"whole"))
    for path in (old, new):
        before = s3_server.counts()
        s3_server.hold_uploads()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        while "PutObject" not in s3_server.since(before):
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        s3_server.release_uploads()
    assert old.read_bytes() == b"whole"
    assert [entry.name for entry in list_folder(s3_root / "folder")] == ["old.bin"]
