"""The dead-letter file: rows without a usable answer, with their inputs, fit to be taken in again as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson
from upath import UPath

from domain.batch.rows import OWN_FIELD, InputRow
from domain.batch.states import RowStatus
from domain.errors import InputError
from resources.batch_inference.results import read_part
from resources.batch_inference.snapshot import NAME, Snapshot
from resources.batch_inference.sources import read_jsonl
from resources.catalog.sources.reading import RawRow
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord
from resources.storage.atomic import write_atomically
from resources.storage.listing import list_folder
from resources.storage.reading import is_there, open_to_read

FILE = "dead_letter.jsonl"
_COLUMNS = ["row", "status", "reason", "call_id"]


def write_dead_letter(root: UPath, batch: BatchRecord, chunks: Sequence[ChunkRecord]) -> int:
    """Write the batch's rows that are not `ok`, in row order; how many there are. None writes no file.

    Raises:
        OSError: the storage root cannot be used.
    """
    folder = root / batch.folder
    bad = [chunk for chunk in chunks if chunk.ok < chunk.rows]
    if not bad:
        for old in list_folder(folder):
            if old.name == FILE:
                old.path.unlink(missing_ok=True)
        return 0
    written = 0

    def write(stream: BinaryIO) -> None:
        nonlocal written
        for line in _lines(folder, batch, bad):
            stream.write(line)
            written += 1

    write_atomically(folder / FILE, write)
    return written


def _lines(folder: UPath, batch: BatchRecord, chunks: Sequence[ChunkRecord]) -> Iterator[bytes]:
    snapshot = Snapshot(folder / NAME)
    for chunk in chunks:
        rows = {row.number: row for row in snapshot.read(chunk.chunk)}
        for result in read_part(folder, str(chunk.path), _COLUMNS):
            if result["status"] != RowStatus.OK:
                yield orjson.dumps(_letter(batch, rows[result["row"]], result), option=orjson.OPT_APPEND_NEWLINE)


def _letter(batch: BatchRecord, row: InputRow, result: dict[str, Any]) -> dict[str, Any]:
    key = batch.settings.key
    own = {"batch": batch.id, "source_row": row.source_row, **{name: result[name] for name in _COLUMNS}}
    return {**row.inputs, **({} if key is None else {key: row.key}), OWN_FIELD: own}


class DeadLetterSource:
    """The rows of a batch's dead-letter file that another asking may help; rejected ones need a person's mend first."""

    def __init__(self, root: UPath, batch: BatchRecord) -> None:
        self._path = root / batch.folder / FILE
        self._batch = batch

    @property
    def shown(self) -> dict[str, Any]:
        """The batch they are from."""
        return {"kind": "dead_letter", "batch": self._batch.id, "path": str(self._path)}

    def rows(self) -> Iterator[RawRow]:
        """The rows, numbered as in the batch they are from.

        Raises:
            InputError: the batch has no such file.
        """
        if not is_there(self._path):
            raise InputError(
                "the batch has no dead letters", file=str(self._path), mend="there is nothing to ask again."
            )
        with open_to_read(self._path) as stream:
            for raw in read_jsonl(stream, self._path):
                own = raw.values.get(OWN_FIELD)
                if isinstance(own, dict) and own.get("status") != RowStatus.REJECTED:
                    yield RawRow(int(own["row"]), raw.values, raw.problem)
