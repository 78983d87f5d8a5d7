"""Calls that were paid for and whose answers were lost with a worker: the rows were asked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from upath import UPath

from resources.batch_inference.results import read_part
from resources.database.repositories import batch_calls, batch_chunks
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database


@dataclass(frozen=True, slots=True)
class Repeat:
    """One such call.

    Attributes:
        status: `lost` where nobody knows whether it was answered, `ok` where it was, and nobody lived to keep it.
    """

    row: int
    call_id: str
    status: str
    cost_nano_usd: int

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"row": self.row, "call_id": self.call_id, "status": self.status, "cost_nano_usd": self.cost_nano_usd}


def find_repeats(database: Database, root: UPath, batch: BatchRecord) -> list[Repeat]:
    """The batch's charged calls that stand in no result, by row; what the ledger knows by now.

    Only chunks that a worker left unfinished can have any, so that nothing else is looked at. Blocks.

    Raises:
        OSError: a part is gone.
        DatabaseUnavailableError: as `Database.session`.
    """
    with database.session(read_only=True) as session:
        chunks = batch_chunks.list_chunks(session, batch.id)
    found: list[Repeat] = []
    for chunk in chunks:
        if not chunk.interrupted or not chunk.path:
            continue
        known = {
            call_id for one in read_part(root / batch.folder, chunk.path, ["call_ids"]) for call_id in one["call_ids"]
        }
        rows = [str(number) for number in range(chunk.first_row, chunk.last_row + 1)]
        with database.session(read_only=True) as session:
            calls = batch_calls.calls_of_rows(session, batch.id, rows)
        found += [
            Repeat(int(call.row_id), call.call_id, call.status, call.cost_nano_usd)
            for call in calls
            if call.cost_nano_usd and call.call_id not in known
        ]
    return sorted(found, key=lambda repeat: (repeat.row, repeat.call_id))
