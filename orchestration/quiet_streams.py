"""Keeping a terminal clean while libraries write to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

STANDARD_STREAMS = (1, 2)


@contextmanager
def streams_to_file(path: Path) -> Iterator[None]:
    """Send what this process and its children write to standard output and error to the end of `path`.

    The file descriptors themselves are turned: Dagster's console handler, warnings, and the processes that copy compute
    logs keep the old streams' numbers, not Python's objects.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log, ExitStack() as restore:
        for number in STANDARD_STREAMS:
            _flush()
            kept = os.dup(number)
            restore.callback(os.close, kept)
            restore.callback(os.dup2, kept, number)
            os.dup2(log.fileno(), number)
        restore.callback(_flush)
        yield


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
