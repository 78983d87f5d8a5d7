"""Reading results, part by part: finished chunks can be read before the batch ends."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
from upath import UPath

from domain.errors import InputError
from domain.identity import short_id
from resources.batch_inference.parts import read_standing
from resources.database.repositories import batch_chunks, batches
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.storage.atomic import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa


class BatchResults:
    """The results of one batch, as far as they stand."""

    def __init__(self, database: Database, root: UPath, reference: str) -> None:
        """Find the batch.

        Raises:
            NotFoundError, InputError: the reference names none, or several.
        """
        with database.session(read_only=True) as session:
            self.batch: BatchRecord = batches.get(session, reference)
            chunks = batch_chunks.list_chunks(session, self.batch.id)
        self._database = database
        self._root = root
        self._finished = [chunk for chunk in chunks if chunk.path]

    def tables(self) -> Iterator[pa.Table]:
        """One Arrow table per finished chunk, in row order.

        Raises:
            NotFoundError: a part is gone.
        """
        for chunk in self._finished:
            yield read_standing(self._database, self._root, self.batch, chunk)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One mapping per row, in row order.

        Raises:
            NotFoundError: a part is gone.
        """
        for table in self.tables():
            yield from table.to_pylist()

    def write(self, target: UPath) -> int:
        """Write all results to one CSV, JSONL or Parquet file, by its suffix; how many rows.

        Raises:
            InputError: another suffix, or there is no result yet.
            NotFoundError: a part is gone.
            OSError: the file cannot be written.
        """
        write = _WRITERS.get(target.suffix.lower())
        if write is None:
            raise InputError(
                f"results cannot be written as {target.suffix or '(no suffix)'!r}",
                file=str(target),
                mend=f"use one of {', '.join(_WRITERS)}.",
            )
        if not self._finished:
            raise InputError(f"batch {short_id(self.batch.id)} has no result yet", mend="run it first.")
        written = 0

        def write_all(stream: BinaryIO) -> None:
            nonlocal written
            written = write(self.tables(), stream)

        write_atomically(target, write_all)
        return written


def _write_parquet(tables: Iterator[pa.Table], stream: BinaryIO) -> int:
    import pyarrow.parquet as pq

    first = next(tables)
    rows = first.num_rows
    with pq.ParquetWriter(stream, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _write_jsonl(tables: Iterator[pa.Table], stream: BinaryIO) -> int:
    rows = 0
    for table in tables:
        for row in table.to_pylist():
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        rows += table.num_rows
    return rows


def _write_csv(tables: Iterator[pa.Table], stream: BinaryIO) -> int:
    rows = 0
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer: csv.DictWriter[str] | None = None
    for table in tables:
        if writer is None:
            writer = csv.DictWriter(text, table.column_names)
            writer.writeheader()
        for row in table.to_pylist():
            writer.writerow({**row, "call_ids": " ".join(row["call_ids"] or ())})
        rows += table.num_rows
    text.detach()
    return rows


_WRITERS: dict[str, Callable[[Iterator[pa.Table], BinaryIO], int]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
