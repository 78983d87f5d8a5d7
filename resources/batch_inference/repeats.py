"""Calls that were paid for and whose answers were lost with a worker: the rows were asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from upath import UPath

from resources.batch_inference.parts import read_standing
from resources.database.repositories import batch_calls, batch_chunks
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database

if TYPE_CHECKING:
    from resources.llm.client import LLMClient


LOOK_AGAIN_S = 0.5
LEASES_WAITED = 3
"""A worker that lives, stood still and lost its batch may have attempts open for longer; its calls are named later."""


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


async def let_the_lost_be_booked(llm: LLMClient, batch_id: str, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Return once the ledger has what dead workers of the batch left open, so that `find_repeats` can name it.

    Raises:
        StateUnavailableError, DatabaseUnavailableError: as `LLMClient.flush`.
    """
    for _ in range(ceil(LEASES_WAITED * llm.lease_s / LOOK_AGAIN_S)):
        if not await llm.attempts_elsewhere(batch_id):
            break
        await sleep(LOOK_AGAIN_S)
    await llm.flush()


def find_repeats(database: Database, root: UPath, batch: BatchRecord) -> list[Repeat]:
    """The batch's charged calls that stand in no result, by row; what the ledger knows by now.

    Only chunks that a worker left unfinished can have any, so that nothing else is looked at. Blocks.

    Raises:
        NotFoundError: a part is gone.
        OSError: the storage root cannot be used.
        DatabaseUnavailableError: as `Database.session`.
    """
    with database.session(read_only=True) as session:
        chunks = batch_chunks.list_chunks(session, batch.id)
    found: list[Repeat] = []
    for chunk in chunks:
        if not chunk.interrupted or not chunk.path:
            continue
        part = read_standing(database, root, batch, chunk, ["call_ids"])
        known = {call_id for call_ids in part.column("call_ids").to_pylist() for call_id in call_ids}
        rows = [str(number) for number in range(chunk.first_row, chunk.last_row + 1)]
        with database.session(read_only=True) as session:
            calls = batch_calls.calls_of_rows(session, batch.id, rows)
        found += [
            Repeat(int(call.row_id), call.call_id, call.status, call.cost_nano_usd)
            for call in calls
            if call.cost_nano_usd and call.call_id not in known
        ]
    return sorted(found, key=lambda repeat: (repeat.row, repeat.call_id))
