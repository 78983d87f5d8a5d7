"""Reading a chunk's part while a worker may be replacing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upath import UPath

from domain.batch.states import BatchState
from domain.errors import NotFoundError
from domain.identity import short_id
from resources.database.repositories import batch_chunks
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.storage.parquet import read_table

if TYPE_CHECKING:
    import pyarrow as pa


def read_standing(
    database: Database, root: UPath, batch: BatchRecord, chunk: ChunkRecord, columns: list[str] | None = None
) -> pa.Table:
    """The results of a chunk, in row order: those of its part, or of the one that a further round put in its place.

    Raises:
        NotFoundError: the part is gone, and nothing stands in its place.
        OSError: the storage root cannot be used.
        DatabaseUnavailableError: as `Database.session`.
    """
    path = root / batch.folder / str(chunk.path)
    try:
        return read_table(path, columns)
    except FileNotFoundError:
        with database.session(read_only=True) as session:
            now = batch_chunks.list_chunks(session, batch.id)[chunk.chunk]
        if now.path == chunk.path:
            raise _gone(batch, path) from None
    return read_standing(database, root, batch, now, columns)


def _gone(batch: BatchRecord, path: UPath) -> NotFoundError:
    again = ", or answer the rows again with `promptory batch add … --again`, which is paid once more"
    return NotFoundError(
        f"a part of the results of batch {short_id(batch.id)} is gone",
        file=str(path),
        mend=f"restore it{again if batch.state == BatchState.DONE else ''}.",
    )
