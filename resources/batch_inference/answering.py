"""How a chunk is answered: the seam between a batch's bookkeeping and whoever asks the model.

The runner hands out chunks with their rows and takes them back with every row kept; what lies between is a
`ChunkAnswerer`. `DirectAnswerer` asks the execution core row by row and returns when all are answered. One that hands a
chunk to a provider's own batch API submits a job (intent first), puts the chunk in the state `submitted` and returns
`ChunkEnd.SUBMITTED` at once: the batch then rests as `waiting` and no worker is needed. Whoever fetches the job's
results later claims the batch (`Leases.take`), keeps each row with `AnswerKeeper.keep`, sets the chunk `open` again and
lets `BatchRunner.run` go on: rows that have an answer are not asked, rows the job left out are asked directly, and the
chunk is finished as any other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from domain.batch.outcome import RowOutcome
from domain.batch.rows import InputRow
from domain.prompt import PromptVersion
from resources.batch_inference.stopping import Stop
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord


class ChunkEnd(StrEnum):
    """How far an answerer got with a chunk: all rows kept, handed to others, or stopped before its end."""

    ANSWERED = "answered"
    SUBMITTED = "submitted"
    STOPPED = "stopped"


@dataclass(slots=True)
class ChunkWork:
    """One round of one chunk.

    Attributes:
        rows: those without an answer, in order; `take` hands them out.
        keep: makes a row's outcome durable; the row is asked no more once it returns.
        stop: looked at before every row.
        exhausted: set once no row is left to take, so that the next chunk may begin while the last rows are answered.
    """

    batch: BatchRecord
    chunk: ChunkRecord
    prompt: PromptVersion
    rows: deque[InputRow]
    keep: Callable[[InputRow, RowOutcome], Awaitable[None]]
    stop: Stop
    exhausted: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> InputRow | None:
        """The next row; None when there is none left, or work is to stop."""
        row = self.rows.popleft() if self.rows and not self.stop.requested else None
        if not self.rows or self.stop.requested:
            self.exhausted.set()
        return row


class ChunkAnswerer(Protocol):
    """Gets the rows of a chunk answered."""

    async def answer(self, work: ChunkWork) -> ChunkEnd:
        """Answer `work.rows`, keeping each.

        Raises:
            PromptoryError: nothing further can be kept or asked.
        """
        ...


class Slots:
    """How much is under way at once over all chunks and batches of a worker, first come, first served.

    A row is under way until its answer is durable, which takes longer than the provider does: so that it is asked
    `calls` times at once all the while, half as many more rows may be under way. What a kill can make repeat is these.

    Attributes:
        calls: for as long as a row is at the provider.
        rows: from before that until its answer is kept.
        most_waiting: rows that may be under way and not at the provider while all calls are.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.most_waiting = concurrency // 2 + 1
        self.most_rows = concurrency + self.most_waiting
        self.calls = asyncio.Semaphore(concurrency)
        self.rows = asyncio.Semaphore(self.most_rows)


def batch_scopes(batch: BatchRecord) -> tuple[str, ...]:
    """The budgets that a batch's calls are charged to."""
    own_cap = () if batch.settings.cap_usd is None else (f"run:{batch.id}",)
    return ("org", "day", "month", f"task:{batch.task}", *own_cap)


def rows_without(rows: Sequence[InputRow], answered: set[int]) -> deque[InputRow]:
    """Those that can be asked and have no answer."""
    return deque(row for row in rows if row.problem is None and row.number not in answered)
