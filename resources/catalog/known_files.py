"""Task files that this process has read before: sensors look at all of them every few seconds."""

from __future__ import annotations

import time
from pathlib import Path

from domain.errors import InputError
from domain.task import Task
from resources.catalog.task_file import NO_ENDPOINTS, load_task
from resources.llm.endpoint_names import Kinds

Stamp = tuple[int, int, int]
Place = tuple[str, tuple[tuple[str, str], ...]]

# A file written twice within the resolution of its file system's clock looks the same: one this young is read again.
SETTLED_NS = 2_000_000_000
MOST_FILES = 50_000

_known: dict[Place, tuple[Stamp, Task]] = {}


def load_known(path: Path, endpoints: Kinds = NO_ENDPOINTS, *, now_ns: int | None = None) -> Task:
    """As `load_task`; a file whose date, size and inode are those of the last time is not parsed again.

    Raises:
        InputError: as `load_task`.
    """
    place = (str(path), tuple(sorted(endpoints.items())))
    stamp = _stamp(path)
    known = _known.get(place)
    if known is not None and known[0] == stamp:
        return known[1]
    task = load_task(path, endpoints)
    if (time.time_ns() if now_ns is None else now_ns) - stamp[0] > SETTLED_NS:
        if len(_known) >= MOST_FILES:
            _known.clear()
        _known[place] = (stamp, task)
    return task


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(path), mend="check the path.") from error
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
