"""Running one claimed batch: rounds of chunks, several under way at once, to the end or to a pause."""

from __future__ import annotations

import asyncio

from domain.batch.outcome import RowOutcome
from domain.batch.rows import InputRow
from domain.batch.states import ChunkState, PauseKind
from domain.errors import PromptoryError
from domain.prompt import PromptVersion
from resources.batch_inference.answering import ChunkAnswerer, ChunkEnd, ChunkWork
from resources.batch_inference.chunks import Chunks, LoadedChunk
from resources.batch_inference.keeping import AnswerKeeper, Kept
from resources.batch_inference.outcome_text import encode
from resources.batch_inference.progress import Counting
from resources.batch_inference.stopping import Stop
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord
from resources.storage.failures import storage_away, storage_errors

OPEN_CHUNKS = 8
"""A chunk stays open while one of its rows waits; so many may before no further chunk begins."""


class BatchRunner:
    """One batch that this worker has claimed."""

    def __init__(
        self,
        batch: BatchRecord,
        prompt: PromptVersion,
        chunks: Chunks,
        answerer: ChunkAnswerer,
        keeper: AnswerKeeper,
        stop: Stop,
        counting: Counting,
    ) -> None:
        self._batch = batch
        self._prompt = prompt
        self._chunks = chunks
        self._answerer = answerer
        self._keeper = keeper
        self._stop = stop
        self._counting = counting
        self._options = batch.settings

    async def run(self) -> None:
        """Ask until every chunk's rounds are over, others have the rest, or `stop` is requested.

        What is under way when it ends early is answered and kept.
        """
        while not self._stop.requested:
            due = await asyncio.to_thread(self._chunks.due)
            if not due:
                return
            open_chunks = asyncio.Semaphore(OPEN_CHUNKS)
            async with asyncio.TaskGroup() as group:
                exhausted: asyncio.Event | None = None
                for chunk in due:
                    loaded = await self._load(chunk)
                    if exhausted is not None:
                        await exhausted.wait()
                    await open_chunks.acquire()
                    if loaded is None or self._stop.requested:
                        break
                    work = self._work(loaded)
                    exhausted = work.exhausted
                    group.create_task(self._one(work, open_chunks))

    async def _load(self, chunk: ChunkRecord) -> LoadedChunk | None:
        """What is still to ask of the chunk; None after its rows could not be read, which stops the batch.

        Raised in the group, the error would break off the rows under way.
        """
        try:
            return await asyncio.to_thread(self._chunks.load, chunk)
        except PromptoryError as error:
            self._stop.fail(error)
        except storage_errors() as error:
            self._stop.fail(storage_away(error))
        return None

    def _work(self, loaded: LoadedChunk) -> ChunkWork:
        chunk = loaded.chunk
        if chunk.round == 0:
            self._counting.finished += chunk.rows - len(loaded.rows)

        async def keep(row: InputRow, outcome: RowOutcome) -> None:
            await self._keeper.keep(Kept(self._batch.id, self._batch.claim, row.number, encode(outcome)))
            self._counting.count(outcome, chunk.round)
            self._judge()

        return ChunkWork(self._batch, chunk, self._prompt, loaded.rows, keep, self._stop)

    async def _one(self, work: ChunkWork, open_chunks: asyncio.Semaphore) -> None:
        try:
            end = await self._answerer.answer(work) if work.rows else ChunkEnd.ANSWERED
            work.exhausted.set()
            if end is ChunkEnd.ANSWERED:
                await asyncio.to_thread(self._chunks.finish, work.chunk)
            elif end is ChunkEnd.SUBMITTED:
                await asyncio.to_thread(self._chunks.set_state, work.chunk, ChunkState.SUBMITTED)
        except PromptoryError as error:
            # Not raised here, nor in `_load`: the group would break off the other chunks' rows, which are paid for.
            self._stop.fail(error)
        except storage_errors() as error:
            self._stop.fail(storage_away(error))
        finally:
            work.exhausted.set()
            open_chunks.release()

    def _judge(self) -> None:
        if (why := self._counting.why_too_many_failed(self._options.max_failed)) is not None:
            self._stop.pause(PauseKind.FAILURES, why)
