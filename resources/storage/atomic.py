"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from upath import UPath


def write_atomically(path: UPath, write: Callable[[Any], object]) -> None:
    """Write a file through `write(stream)` so that a reader or a crash never meets half of it.

    On a local disk it is written beside its place and renamed; an object store shows an object only when it is
    complete.

    Raises:
        OSError: the folder cannot be written.
    """
    if path.protocol in ("", "file", "local"):
        _write_and_rename(Path(path.path), write)
        return
    with path.open("wb") as stream:
        write(stream)


def _write_and_rename(path: Path, write: Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
