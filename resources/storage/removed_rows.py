"""Rows that are in a day's file only: read back, so that rewriting the file cannot lose them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, TypeVar

from upath import UPath

from resources.storage.parquet import read_batches
from resources.storage.reading import open_to_read

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

_JSON_FIELDS = ("price",)


def with_removed_rows(
    path: UPath, late: Iterable[Sequence[Record]], record: type[Record], key: str, batch_rows: int
) -> Iterator[Sequence[Record]]:
    """The records of the file at `path`, then those of `late`, which win where both have one.

    The late ones are held in memory: they are what the database got after it gave the day's rows away. The file is
    copied first, because it is about to be replaced.

    Raises:
        OSError: the file is not there or cannot be read.
    """
    added = {getattr(one, key): one for batch in late for one in batch}
    with TemporaryFile() as copy:
        with open_to_read(path) as stream:
            shutil.copyfileobj(stream, copy)
        for rows in _batches(copy, path, batch_rows):
            kept = [row for row in rows if row[key] not in added]
            if kept:
                yield [as_record(row, record) for row in kept]
    if added:
        yield list(added.values())


def read_records(path: UPath, record: type[Record], batch_rows: int = 10_000) -> Iterator[Record]:
    """The rows of a day's file, in its order, as the records they were written from.

    Raises:
        OSError: the file is not there or cannot be read.
    """
    with open_to_read(path) as stream:
        for rows in _batches(stream, path, batch_rows):
            yield from (as_record(row, record) for row in rows)


def as_record(row: dict[str, Any], record: type[Record]) -> Record:
    """A row of a Parquet file as the record it was written from."""
    values = {field.name: row.get(field.name) for field in fields(record)}
    for name in _JSON_FIELDS:
        text = values.get(name)
        if text is not None:
            values[name] = json.loads(text)
    return record(**values)


def _batches(stream: IO[bytes], path: UPath, batch_rows: int) -> Iterator[list[dict[str, Any]]]:
    import pyarrow as pa

    try:
        for batch in read_batches(stream, batch_rows):
            yield batch.to_pylist()
    except pa.ArrowException as error:
        raise OSError(f"{path} cannot be read as Parquet: {error}") from error
