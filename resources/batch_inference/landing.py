"""The batch folders: `<root>/<task>/`, local or at an object-store URL. A file is taken in once, by size and date."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from resources.batch_inference.sources import READERS
from resources.storage.listing import LOCAL, remote_entries, remote_name, remote_stamp

SETTLE_S = 5.0
"""A local file whose date is younger may still be written."""

CLOCK_SKEW_S = 60.0
"""A date further in the future is not that of a file server's clock, and says nothing."""

LONGEST_NAME = 500


@dataclass(frozen=True, slots=True)
class LandedFile:
    """A file of a batch folder; `stamp` changes with its content."""

    name: str
    stamp: str
    path: UPath


def landed_files(root: UPath, task: str, now: float) -> list[LandedFile]:
    """The files of a task's folder that can be taken in, by name.

    Left out are names that start with `.` or `_` or end in `.tmp` or `.part` (uploads under way), other formats, and
    local files younger than `SETTLE_S`. `now` is epoch seconds.

    Raises:
        OSError: the folder cannot be listed.
    """
    folder = root / task
    found = _local_files(folder, now) if folder.protocol in LOCAL else _remote_files(folder)
    return sorted((file for file in found if _is_batch_file(file.name)), key=lambda file: file.name)


def folders(root: UPath) -> set[str]:
    """The tasks that have a batch folder, by name.

    Raises:
        OSError: the root cannot be listed.
    """
    if root.protocol in LOCAL:
        path = Path(root.path)
        if not path.is_dir():
            return set()
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_dir()}
    return {remote_name(entry) for entry in remote_entries(root) if entry["type"] == "directory"}


def not_taken_in(files: Iterable[LandedFile], stamps: Mapping[str, str]) -> list[LandedFile]:
    """Those that were never looked at with this stamp."""
    return [file for file in files if stamps.get(file.name) != file.stamp]


def current_stamp(file: LandedFile) -> str | None:
    """The file's stamp now; None where it is gone."""
    try:
        if file.path.protocol in LOCAL:
            return _local_stamp(Path(file.path.path).stat())
        return remote_stamp(file.path.fs.info(file.path.path))
    except OSError:
        return None


def _local_files(folder: UPath, now: float) -> list[LandedFile]:
    path = Path(folder.path)
    if not path.is_dir():
        return []
    found: list[LandedFile] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if not _is_batch_file(entry.name) or not entry.is_file():
                continue
            status = entry.stat()
            if not -CLOCK_SKEW_S <= now - status.st_mtime < SETTLE_S:
                found.append(LandedFile(entry.name, _local_stamp(status), UPath(entry.path)))
    return found


def _remote_files(folder: UPath) -> list[LandedFile]:
    return [
        LandedFile(remote_name(entry), remote_stamp(entry), folder / remote_name(entry))
        for entry in remote_entries(folder)
        if entry["type"] == "file"
    ]


def _local_stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _is_batch_file(name: str) -> bool:
    if name.startswith((".", "_")) or len(name) > LONGEST_NAME:
        return False
    return any(name.lower().endswith(suffix) for suffix in READERS)
