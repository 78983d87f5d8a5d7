"""Streaming records into one Parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from upath import UPath

from domain.identity import canonical_json
from resources.storage.atomic import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

_DAY = "day"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One Parquet file. `content_id` is the SHA-256 of its rows, so that an unchanged rewrite can be told."""

    path: UPath
    rows: int
    content_id: str


def export_records(
    batches: Iterable[Sequence[Any]],
    path: UPath,
    schema: pa.Schema,
    *,
    day: date | None = None,
    before_replacing: Callable[[], None] | None = None,
) -> ExportedFile:
    """Write records to `path`, replacing the file as a whole; no record writes an empty file.

    Holds one batch at a time, which becomes one row group. The records have an attribute per column of the schema,
    except `day` where it is given, because it is the same for all rows. What a text column cannot hold as it is, is
    written as canonical JSON.

    Args:
        before_replacing: called once all rows were read; what it raises leaves the old file in its place.

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow.parquet as pq

    values_of = attrgetter(*(name for name in schema.names if day is None or name != _DAY))
    digest = hashlib.sha256()
    written = 0

    def write(stream: Any) -> None:
        nonlocal written
        with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
            for batch in batches:
                rows: list[tuple[Any, ...]] = [values_of(record) for record in batch]
                for row in rows:
                    digest.update(repr(row).encode("utf-8", "surrogatepass"))
                written += len(rows)
                writer.write_batch(_record_batch(rows, schema, day))
        if before_replacing is not None:
            before_replacing()

    write_atomically(path, write)
    return ExportedFile(path, written, digest.hexdigest())


def write_empty(path: UPath, schema: pa.Schema) -> None:
    """Write a file that has the schema's columns and no row."""
    import pyarrow.parquet as pq

    write_atomically(path, lambda stream: pq.write_table(schema.empty_table(), stream))


def _record_batch(rows: list[tuple[Any, ...]], schema: pa.Schema, day: date | None) -> pa.RecordBatch:
    import pyarrow as pa

    columns = iter(list(zip(*rows, strict=True)))
    arrays = [
        pa.array(
            [day] * len(rows) if day is not None and field.name == _DAY else _values(next(columns, ()), field),
            field.type,
        )
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _values(values: Sequence[Any], field: pa.Field) -> Sequence[Any]:
    import pyarrow as pa

    if not pa.types.is_string(field.type):
        return values
    return [value if value is None or isinstance(value, str) else canonical_json(value) for value in values]
