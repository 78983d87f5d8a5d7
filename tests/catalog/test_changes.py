"""Which files a dataset is read from, and how a change of one is seen."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from upath import UPath

from domain.task import Task
from resources.catalog.catalog import CatalogEntry
from resources.catalog.changes import ChangeWatch, Cursor, fingerprint_of
from resources.catalog.ingest import source_files


@pytest.fixture
def entry(task: Task, tmp_path: Path) -> CatalogEntry:
    dataset = task.dataset.model_copy(update={"source": str(tmp_path / "rows.csv")})
    (tmp_path / "rows.csv").write_text("text,label\nthe sky,blue\n")
    return CatalogEntry(task.model_copy(update={"dataset": dataset}), tmp_path / "task.yaml")


def folder(kind: str, tmp_path: Path) -> UPath:
    return UPath(f"memory://landing-{uuid4().hex}") if kind == "object store" else UPath(tmp_path / "landing")


@pytest.mark.parametrize("kind", ["local", "object store"])
def test_what_landed_is_seen_in_order_and_by_content(kind: str, entry: CatalogEntry, tmp_path: Path) -> None:
    root = folder(kind, tmp_path)
    for name, text in (("b.csv", "second"), ("a.csv", "first"), ("c.csv.part", "half"), ("a_folder/data.arrow", "x")):
        path = root / entry.task.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    files = source_files(entry.task, entry.path, root)
    assert [path.name for path in files] == ["rows.csv", "a.csv", "a_folder", "b.csv"]

    watch = ChangeWatch(Cursor(), root)
    first = watch.fingerprint(entry)
    assert ChangeWatch(Cursor({}, watch.digests), root).fingerprint(entry) == first
    (root / entry.task.name / "a_folder" / "data.arrow").write_text("longer")
    assert ChangeWatch(Cursor({}, watch.digests), root).fingerprint(entry) != first


def test_what_was_read_before_time_was_up_is_not_read_again(entry: CatalogEntry, tmp_path: Path) -> None:
    root = tmp_path / "landing" / entry.task.name
    root.mkdir(parents=True)
    for number in range(5):
        (root / f"{number}.csv").write_text(str(number))
    whole = ChangeWatch(Cursor(), UPath(tmp_path / "landing")).fingerprint(entry)
    cursor, ticks = Cursor(), 0
    found = None
    while found is None:
        answers = iter([False, False, True])
        watch = ChangeWatch(cursor, UPath(tmp_path / "landing"), lambda answers=answers: next(answers))
        found = watch.fingerprint(entry)
        cursor = Cursor.load(Cursor({}, watch.digests).dump())
        ticks += 1

    assert (found, ticks) == (whole, 3)


def test_a_template_that_stops_reading_a_column_has_the_rows_checked_again(spec: dict) -> None:
    def fingerprint(inputs: list[str], template: str) -> str:
        prompt = spec["prompt"] | {"output_prompt": template}
        values = spec | {"dataset": spec["dataset"] | {"inputs": inputs}, "prompt": prompt}
        return fingerprint_of(Task.model_validate(values), ["digest"]).dataset

    assert fingerprint(["text"], "{{ text }}") == fingerprint(["text"], "Read: {{ text }}")
    assert fingerprint(["text", "ticket"], "{{ text }}") != fingerprint(["text", "ticket"], "{{ text }} {{ ticket }}")
