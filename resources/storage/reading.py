"""Reading a file at any location as one reads a local one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from upath import UPath

from resources.storage.failures import reaching
from resources.storage.location import is_local

_BUFFER_BYTES = 1 << 20


@contextmanager
def open_to_read(path: UPath) -> Iterator[BinaryIO]:
    """The file's bytes. Of a file in a store, whatever the store's client raises is told as the errors below.

    Who parses the bytes can then take any `OSError` for the file's fault, which Parquet readers also raise.

    Raises:
        OSError: the file is missing or may not be read; any other reason of a local file.
        StateUnavailableError: the store does not answer.
    """
    if is_local(path):
        with path.open("rb") as stream:
            yield cast(BinaryIO, stream)
        return
    with reaching(path):
        opened: Any = path.open("rb")
    with opened, io.BufferedReader(_StoreStream(opened, path), _BUFFER_BYTES) as buffered:
        yield buffered


def is_there(path: UPath) -> bool:
    """Whether there is a file or folder.

    Raises:
        OSError: that cannot be found out.
        StateUnavailableError: the store does not answer.
    """
    with reaching(path):
        return path.exists()


class _StoreStream(io.RawIOBase):
    """A stream of a store's client, its errors told in our words."""

    def __init__(self, stream: Any, path: UPath) -> None:
        self._stream = stream
        self._path = path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with reaching(self._path):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()
