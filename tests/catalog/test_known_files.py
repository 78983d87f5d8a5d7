"""A task file is parsed once, and again whenever it changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from domain.errors import InputError
from resources.catalog import known_files
from resources.catalog.known_files import load_known


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really parsed."""
    seen: list[Path] = []
    parse = known_files.load_task

    def noted(path, endpoints):
        seen.append(path)
        return parse(path, endpoints)

    monkeypatch.setattr(known_files, "load_task", noted)
    return seen


def later() -> int:
    return time.time_ns() + 10 * known_files.SETTLED_NS


def test_an_unchanged_file_is_parsed_once(write_task, spec, parsed: list[Path]) -> None:
    path = write_task(spec)
    assert load_known(path, now_ns=later()) == load_known(path, now_ns=later())
    assert len(parsed) == 1
    load_known(path, {"mine": "openai"}, now_ns=later())
    assert len(parsed) == 2  # other endpoints may make another task of it


def test_a_changed_file_is_parsed_again(write_task, spec, parsed: list[Path]) -> None:
    path = write_task(spec)
    first = load_known(path, now_ns=later())
    path.write_text(path.read_text().replace("colours", "colouring", 1))

    assert load_known(path, now_ns=later()) != first
    assert len(parsed) == 2


def test_a_file_written_just_now_is_not_trusted(write_task, spec, parsed: list[Path]) -> None:
    path = write_task(spec)
    stamp = path.stat()
    load_known(path, now_ns=stamp.st_mtime_ns)
    path.write_text(path.read_text().replace("colours", "colourz", 1))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # the same date and size

    assert load_known(path).name == "colourz"


def test_a_broken_file_is_an_error_every_time(write_task, parsed: list[Path], tmp_path: Path) -> None:
    path = write_task("name: [unclosed")
    for _ in range(2):
        with pytest.raises(InputError):
            load_known(path, now_ns=later())
    with pytest.raises(InputError, match="cannot be read"):
        load_known(tmp_path / "gone.yaml")
