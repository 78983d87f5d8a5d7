"""The batch folders: `<root>/<task>/`, local or at an object-store URL. A file is taken in once, by size and date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from upath import UPath

from domain.errors import StateUnavailableError
from resources.batch_inference.sources import READERS
from resources.storage.listing import Entry, entry_at, list_folder

SETTLE_S = 5.0
"""A local file whose date is younger may still be written."""

CLOCK_SKEW_S = 60.0
"""A date further in the future is not that of a file server's clock, and says nothing."""

LONGEST_NAME = 500


def landed_files(root: UPath, task: str, now: float) -> list[Entry]:
    """The files of a task's folder that can be taken in, by name.

    Left out are names that start with `.` or `_` or end in `.tmp` or `.part` (uploads under way), other formats, and
    local files younger than `SETTLE_S`. `now` is epoch seconds.

    Raises:
        OSError: the folder cannot be listed.
    """
    return [
        entry
        for entry in list_folder(root / task)
        if not entry.is_folder and _is_batch_file(entry.name) and _is_settled(entry, now)
    ]


def not_taken_in(files: Iterable[Entry], stamps: Mapping[str, str]) -> list[Entry]:
    """Those that were never looked at with this stamp."""
    return [file for file in files if stamps.get(file.name) != file.stamp]


def current_stamp(file: Entry) -> str | None:
    """The file's stamp now; None where it is gone or cannot be looked at."""
    try:
        there = entry_at(file.path)
    except (OSError, StateUnavailableError):
        return None
    return None if there is None else there.stamp


def _is_settled(file: Entry, now: float) -> bool:
    return file.modified_s is None or not -CLOCK_SKEW_S <= now - file.modified_s < SETTLE_S


def _is_batch_file(name: str) -> bool:
    if name.startswith((".", "_")) or len(name) > LONGEST_NAME:
        return False
    return any(name.lower().endswith(suffix) for suffix in READERS)
