"""A batch's rows as they were taken in: Parquet, one row group per chunk. The source may change or vanish then."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from upath import UPath

from domain.batch.rows import InputRow
from resources.storage.parquet import read_row_group

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "rows.parquet"
MOST_BYTES = 32_000_000
"""Of inputs in one chunk: rows of many kilobytes make shorter chunks, so that memory stays bounded."""


@dataclass(slots=True)
class SnapshotFacts:
    """What was written.

    Attributes:
        rows_id: SHA-256 over key, inputs and usability of every row, in order.
        chunks: rows of each chunk.
        first_problem: of the first row that cannot be used, with its line or row in the source.
    """

    rows_id: str = ""
    rows: int = 0
    rejected: int = 0
    chunks: list[int] = field(default_factory=list)
    first_problem: tuple[int, str] | None = None


def write_snapshot(rows: Iterable[InputRow], chunk_rows: int, stream: Any) -> SnapshotFacts:
    """Write `rows` to a binary stream, holding one chunk at a time."""
    import pyarrow.parquet as pq

    facts = SnapshotFacts()
    digest = hashlib.sha256()
    schema = _schema()
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for chunk in _chunks(rows, chunk_rows):
            for row, inputs in chunk:
                digest.update(orjson.dumps([row.key, row.problem is None]))
                digest.update(inputs)
                if row.problem is not None:
                    facts.rejected += 1
                    facts.first_problem = facts.first_problem or (row.source_row, row.problem)
            facts.rows += len(chunk)
            facts.chunks.append(len(chunk))
            writer.write_batch(_batch(chunk, schema), row_group_size=len(chunk))
    facts.rows_id = digest.hexdigest()
    return facts


class Snapshot:
    """Reads chunks of a stored snapshot; opening it reads no row."""

    def __init__(self, path: UPath) -> None:
        self._path = path

    def read(self, chunk: int) -> list[InputRow]:
        """The rows of one chunk.

        Raises:
            OSError: the file is gone.
        """
        table = read_row_group(self._path, chunk)
        columns = (table.column(name).to_pylist() for name in _schema().names)
        return [
            InputRow(number, source_row, key, orjson.loads(inputs), problem)
            for number, source_row, key, inputs, problem in zip(*columns, strict=True)
        ]


def read_inputs(folder: UPath, chunk: int) -> list[tuple[str, str | None]]:
    """Of every row of one chunk: its inputs, as JSON text, and why it cannot be used, if it cannot.

    Raises:
        FileNotFoundError: the file is gone.
    """
    table = read_row_group(folder / NAME, chunk, ["inputs", "problem"])
    return list(zip(*(table.column(name).to_pylist() for name in ("inputs", "problem")), strict=True))


def _chunks(rows: Iterable[InputRow], chunk_rows: int) -> Iterator[list[tuple[InputRow, bytes]]]:
    chunk: list[tuple[InputRow, bytes]] = []
    size = 0
    for row in rows:
        inputs = orjson.dumps(row.inputs)
        chunk.append((row, inputs))
        size += len(inputs)
        if len(chunk) == chunk_rows or size >= MOST_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("row", pa.int64()),
            ("source_row", pa.int64()),
            ("key", pa.string()),
            ("inputs", pa.string()),
            ("problem", pa.string()),
        ]
    )


def _batch(chunk: list[tuple[InputRow, bytes]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [
        [row.number for row, _ in chunk],
        [row.source_row for row, _ in chunk],
        [row.key for row, _ in chunk],
        [inputs.decode() for _, inputs in chunk],
        [row.problem for row, _ in chunk],
    ]
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
