"""Reading Parquet on the calling thread only.

Arrow's thread pools let go of a file a moment after the read has returned. To let go of a Python file they need the
interpreter, so a process that ends in this moment aborts, its work done (apache/arrow issues 34314, 33975 and 50482):
within a few milliseconds of a `read_table`, most do. `ParquetFile` without threads and without its read-ahead touches
no pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from upath import UPath

from resources.storage.reading import open_to_read

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Filter = tuple[str, str, Any]
"""Column, operator, value; as `pyarrow.parquet.filters_to_expression` reads them."""


def read_batches(stream: IO[bytes], rows: int) -> Iterator[pa.RecordBatch]:
    """The table in `stream`, at most `rows` rows at once.

    Raises:
        OSError, pyarrow.ArrowException: it is damaged, or cannot be read.
    """
    with _opened(stream) as file:
        yield from file.iter_batches(batch_size=rows, use_threads=False)


def read_row_group(path: UPath, group: int, columns: list[str] | None = None) -> pa.Table:
    """One row group, read without the others.

    Raises:
        OSError, pyarrow.ArrowException: the file is gone, damaged, or cannot be read.
        StateUnavailableError: the store does not answer.
    """
    with open_to_read(path) as stream, _opened(stream) as file:
        return file.read_row_group(group, columns=columns, use_threads=False)


def read_table(path: UPath, columns: list[str] | None = None, filters: Sequence[Filter] | None = None) -> pa.Table:
    """The rows for which all `filters` hold, in the file's order; of `columns`, if they are named, those.

    Only rows that are wanted are held in memory, however long the file is.

    Raises:
        OSError, pyarrow.ArrowException: the file is gone, damaged, or cannot be read.
        StateUnavailableError: the store does not answer.
    """
    with open_to_read(path) as stream, _opened(stream) as file:
        if filters is None:
            table = file.read(columns=columns, use_threads=False)
        else:
            table = _read_matching(file, columns, filters)
    return table if columns is None else table.select(columns)


def _read_matching(file: pq.ParquetFile, columns: list[str] | None, filters: Sequence[Filter]) -> pa.Table:
    import pyarrow as pa
    from pyarrow.parquet import filters_to_expression

    wanted = filters_to_expression(list(filters))
    needed = None if columns is None else [*columns, *(column for column, _, _ in filters)]
    none = file.read_row_groups([], columns=needed, use_threads=False)
    batches = file.iter_batches(columns=needed, use_threads=False)
    return pa.concat_tables([none, *(pa.Table.from_batches([batch]).filter(wanted) for batch in batches)])


@contextmanager
def _opened(stream: IO[bytes]) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(stream, pre_buffer=False) as file:
        yield file
