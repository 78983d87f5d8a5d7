"""Reading a file at any location as one reads a local one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from upath import UPath


@contextmanager
def open_to_read(path: UPath) -> Iterator[BinaryIO]:
    """The file's bytes. Streams of object stores cannot read a line of limited length by themselves.

    Raises:
        OSError: it is missing or cannot be read. Clients of object stores raise errors of their own as well, see
            `storage_errors`.
    """
    with path.open("rb") as stream:
        opened: Any = stream
        yield cast(BinaryIO, opened if isinstance(opened, io.BufferedIOBase) else io.BufferedReader(opened))
