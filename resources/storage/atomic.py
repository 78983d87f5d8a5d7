"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from uuid import uuid4

from upath import UPath

from resources.storage.failures import reaching
from resources.storage.location import is_local


def write_atomically(path: UPath, write: Callable[[Any], object]) -> None:
    """Write a file through `write(stream)` so that a reader or a crash never meets half of it.

    On a local disk it is written beside its place and renamed. For an object store it is written in the system's
    temporary folder and then uploaded, because closing a stream uploads what was written, even if an exception closes
    it. Stores show an object when its upload is complete.

    Raises:
        OSError: the folder cannot be written.
        StateUnavailableError: the store does not answer.
    """
    if is_local(path):
        _write_and_rename(Path(path.path), write)
        return
    with TemporaryDirectory(prefix="promptory-upload-") as folder:
        # The store's client guesses an object's content type from this name.
        whole = Path(folder) / path.name
        with whole.open("wb") as stream:
            write(stream)
        with reaching(path):
            path.fs.put_file(str(whole), path.path)


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
