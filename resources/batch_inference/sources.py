"""Where a batch's rows come from, read once and in bounded memory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from upath import UPath

from domain.errors import InputError
from resources.catalog.sources.arrow import batch_rows
from resources.catalog.sources.delimited import read_delimited
from resources.catalog.sources.reading import RawRow, refuse_repeated
from resources.storage.parquet import read_batches
from resources.storage.reading import open_to_read

LONGEST_LINE = 10_000_000
"""Bytes of one JSON line, or characters of one in a CSV file; a longer JSON line is a row that cannot be used."""

ROWS_AT_ONCE = 1000


class RowSource(Protocol):
    """Rows to be answered."""

    @property
    def shown(self) -> dict[str, Any]:
        """What people are told of it, as JSON values; never a credential."""
        ...

    def rows(self) -> Iterator[RawRow]:
        """The rows in order, `RawRow.problem` saying why one cannot be read.

        Raises:
            InputError: the source as a whole cannot be read.
        """
        ...


class FileSource:
    """A CSV, TSV, JSONL or Parquet file at a local path or an object-store URL."""

    def __init__(self, path: UPath) -> None:
        """Name the file.

        Raises:
            InputError: its format is not known.
        """
        self.path = path
        suffix = path.suffix.lower()
        if suffix not in READERS:
            raise InputError(
                f"unknown batch format {suffix or '(no suffix)'!r}",
                file=str(path),
                mend=f"use one of {', '.join(READERS)}.",
            )
        self._read = READERS[suffix]

    @property
    def shown(self) -> dict[str, Any]:
        """Its path."""
        return {"kind": "file", "path": str(self.path)}

    def rows(self) -> Iterator[RawRow]:
        """The file's rows.

        Raises:
            InputError: it is missing, has no header, or is damaged.
            StateUnavailableError: the object store it is in does not answer.
        """
        try:
            with open_to_read(self.path) as stream:
                yield from self._read(stream, self.path)
        except OSError as error:
            raise InputError(
                f"cannot be read: {error.strerror or error}", file=str(self.path), mend="check path and rights."
            ) from error


def read_csv(stream: BinaryIO, path: UPath) -> Iterator[RawRow]:
    """A comma-separated file with a header.

    Raises:
        InputError: as `read_delimited`, or a line is longer than memory is for.
    """
    return _delimited(stream, path, ",")


def read_tsv(stream: BinaryIO, path: UPath) -> Iterator[RawRow]:
    """A tab-separated file with a header.

    Raises:
        InputError: as `read_csv`.
    """
    return _delimited(stream, path, "\t")


def _delimited(stream: BinaryIO, path: UPath, delimiter: str) -> Iterator[RawRow]:
    # Bytes that are not UTF-8 become lone surrogates, so that they spoil their own cell and not the file.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from read_delimited(_lines(text, path), delimiter, path).rows
    finally:
        text.detach()  # whoever opened the stream closes it


def _lines(text: io.TextIOWrapper, path: UPath) -> Iterator[str]:
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise InputError(
                f"the line has {LONGEST_LINE:,} characters and more",
                file=str(path),
                row=number,
                mend="see whether it is a text file with one row a line.",
            )
        yield line


def read_jsonl(stream: BinaryIO, path: UPath) -> Iterator[RawRow]:  # noqa: ARG001 - one shape for all readers
    """One JSON object a line."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            _skip_line(stream)
            yield RawRow(number, {}, f"the line has more than {LONGEST_LINE:,} bytes")
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield _json_row(number, line)


def _skip_line(stream: BinaryIO) -> None:
    while (part := stream.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
        pass


def _json_row(number: int, line: bytes) -> RawRow:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return RawRow(number, {}, "the line is not UTF-8")
    except (ValueError, RecursionError) as error:
        return RawRow(number, {}, f"not JSON: {error}")
    if not isinstance(value, dict):
        return RawRow(number, {}, "not a JSON object")
    return RawRow(number, value)


def read_parquet(stream: BinaryIO, path: UPath) -> Iterator[RawRow]:
    """A Parquet file, row group by row group."""
    import pyarrow as pa

    number = 0
    try:
        for batch in read_batches(stream, ROWS_AT_ONCE):
            refuse_repeated(batch.schema.names, path)
            yield from batch_rows(batch, number + 1)
            number += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(
            f"not a readable Parquet file: {error}", file=str(path), row=number + 1, mend="write it again."
        ) from error


Reader = Callable[[BinaryIO, UPath], Iterator[RawRow]]

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
