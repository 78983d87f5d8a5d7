"""Answering chunks through a provider's batch API: `ChunkAnswerer` over jobs that nobody waits for."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime

from domain.batch.outcome import RowOutcome
from domain.batch.provider_jobs import MOST_JOBS_PER_ROW, JobState, job_id, pack
from domain.batch.rows import InputRow
from domain.batch.states import ChunkState, PauseKind, RowStatus
from domain.errors import ConfigurationError, FaultClass, InputError, ProviderError, UnansweredError
from domain.prompt import PromptVersion
from resources.batch_inference.answering import ChunkAnswerer, ChunkEnd, ChunkWork, batch_scopes
from resources.batch_inference.chunks import Chunks
from resources.batch_inference.progress import Counting
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.batch_inference.provider_batches.requests import BatchRequests, JobDraft
from resources.batch_inference.stopping import Stop
from resources.database.repositories import provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.llm.provider_batches import price_record


class ProviderAnswerer:
    """Hands chunks over and collects what came back.

    Args:
        direct: answers the rows that are not handed over.
    """

    def __init__(self, database: Database, desk: JobDesk, direct: ChunkAnswerer, clock: Callable[[], datetime]) -> None:
        self._database = database
        self.desk = desk
        self._direct = direct
        self._clock = clock

    async def collect(
        self, batch: BatchRecord, prompt: PromptVersion, chunks: Chunks, stop: Stop, counting: Counting
    ) -> None:
        """Lead all jobs of a claimed batch on, and open the chunks that no job has any more.

        Where more than `max_failed` of the answers they brought are none, `stop` is requested.

        Raises:
            ConflictError: another worker has the batch.
            StateUnavailableError, DatabaseUnavailableError: what is done is done; the rest can be done again.
        """
        for job in await asyncio.to_thread(self._jobs_of, batch):
            if job.state == JobState.CLOSED or stop.requested:
                continue
            try:
                led = await self.desk.lead_on(job, batch, prompt, counting.collect)
            except (ProviderError, ConfigurationError, InputError) as error:
                stop_for(error, stop)
                continue
            if led is not None and led.state == JobState.QUARANTINED:
                stop.pause(PauseKind.QUARANTINE, f"provider job {led.id[:12]} may exist and be billed: {led.problem}")
            elif led is not None and led.state == JobState.CLOSED and not led.was_tried:
                stop.pause(PauseKind.REFUSED, f"provider job {led.id[:12]}: {led.problem}")
        if (why := counting.why_too_many_failed(batch.settings.max_failed)) is not None:
            stop.pause(PauseKind.FAILURES, why)
        await asyncio.to_thread(self._open_chunks, batch, chunks)

    async def answer(self, work: ChunkWork) -> ChunkEnd:
        """Hand rows over that were not asked yet, ask the rest as the batch's options say.

        Raises:
            StateUnavailableError, DatabaseUnavailableError: nothing further can be kept or asked.
        """
        work.exhausted.clear()
        rows, work.rows = list(work.rows), deque()
        try:
            jobs = await asyncio.to_thread(self._jobs_of_chunk, work)
            handed, rest = self._divide(work, rows, jobs)
            if handed:
                await self._hand_over(work, handed)
        finally:
            work.exhausted.set()
        work.rows = deque(rest)
        if rest and not work.stop.requested:
            await self._direct.answer(work)
        left = await asyncio.to_thread(self._jobs_of_chunk, work)
        if any(job.state != JobState.CLOSED for job in left):
            return ChunkEnd.SUBMITTED
        return ChunkEnd.STOPPED if work.stop.requested else ChunkEnd.ANSWERED

    def _divide(
        self, work: ChunkWork, rows: Sequence[InputRow], jobs: Sequence[ProviderJob]
    ) -> tuple[list[InputRow], list[InputRow]]:
        """Rows to hand over, and rows to ask directly; those that a job has are neither."""
        busy = {one.row for job in jobs if job.state != JobState.CLOSED for one in job.reserves}
        closed = [job for job in jobs if job.state == JobState.CLOSED and job.was_tried]
        tries = Counter(one.row for job in closed for one in job.reserves)
        first_round = 1 if work.chunk.round == 0 else 0
        most = MOST_JOBS_PER_ROW if work.batch.settings.rest == "provider" else first_round
        free = [row for row in rows if row.number not in busy]
        handed = [row for row in free if tries[row.number] < most]
        return handed, [row for row in free if tries[row.number] >= most]

    async def _hand_over(self, work: ChunkWork, rows: Sequence[InputRow]) -> None:
        try:
            requests = BatchRequests(self.desk.core, work.batch, work.prompt, work.chunk.round)
            drafts, unusable = await requests.drafts(rows)
            for row, problem in unusable:
                await work.keep(row, RowOutcome(RowStatus.FAILED, problem))
            for draft in drafts:
                if work.stop.requested:
                    return
                await self.desk.submit(self._job(work, draft), work.batch, work.prompt)
        except UnansweredError as error:
            work.stop.pause(PauseKind.BUDGET, error.problem)
        except (ProviderError, ConfigurationError, InputError) as error:
            stop_for(error, work.stop)

    def _job(self, work: ChunkWork, draft: JobDraft) -> ProviderJob:
        batch, chunk, now = work.batch, work.chunk, self._clock()
        rows = [reserve.row for reserve in draft.reserves]
        return ProviderJob(
            id=job_id(batch.id, batch.claim, chunk.chunk, chunk.round, rows),
            batch_id=batch.id,
            task=batch.task,
            chunk=chunk.chunk,
            round=chunk.round,
            model=work.prompt.model,
            state=JobState.PLANNED.value,
            file=None,
            provider_id=None,
            provider_state=None,
            counts=None,
            problem=None,
            rows=len(rows),
            requests=pack(draft.reserves),
            scopes=list(self.desk.core.windows(batch_scopes(batch))),
            price=price_record(draft.price),
            reserve_nano_usd=draft.reserve_nano_usd,
            direct_nano_usd=draft.direct_nano_usd,
            cost_nano_usd=None,
            lost_nano_usd=None,
            overrun=False,
            created_at=now,
            changed_at=now,
            seen_at=None,
        )

    def _jobs_of(self, batch: BatchRecord) -> list[ProviderJob]:
        with self._database.session(read_only=True) as session:
            return provider_jobs.of_batch(session, batch.id)

    def _jobs_of_chunk(self, work: ChunkWork) -> list[ProviderJob]:
        chunk = work.chunk
        with self._database.session(read_only=True) as session:
            return provider_jobs.of_chunk(session, chunk.batch_id, chunk.chunk, chunk.round)

    def _open_chunks(self, batch: BatchRecord, chunks: Chunks) -> None:
        with_jobs = {job.chunk for job in self._jobs_of(batch) if job.state != JobState.CLOSED}
        for chunk in chunks.with_others():
            if chunk.chunk not in with_jobs:
                chunks.set_state(chunk, ChunkState.OPEN)


def stop_for(error: ProviderError | ConfigurationError | InputError, stop: Stop) -> None:
    """Stop work: a refusal needs a person, silence is tried again after a while."""
    refused = not isinstance(error, ProviderError) or error.fault in (
        FaultClass.AUTHENTICATION,
        FaultClass.INVALID_REQUEST,
        FaultClass.REFUSED,
    )
    if refused:
        stop.pause(PauseKind.REFUSED, str(error))
    else:
        stop.pause(PauseKind.PROVIDER, error.problem)
