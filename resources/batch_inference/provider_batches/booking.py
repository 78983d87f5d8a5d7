"""Booking what a provider's job came to: the ledger's lines and the rows' answers, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from domain.batch.outcome import RowOutcome
from domain.batch.provider_jobs import JobState, call_id_of
from domain.errors import ProviderError
from domain.prompt import PromptVersion
from resources.batch_inference.outcome_text import encode
from resources.batch_inference.provider_batches.moves import JobMoves
from resources.batch_inference.provider_batches.settling import JobLineage, Settled, all_lost, settle_lines
from resources.database.repositories import batch_chunks, batches, provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.llm.batch_api import JobStatus, LineResult, TokenBounds
from resources.llm.ledger_database import write_settled
from resources.llm.provider_batches import ProviderBatches

Told = Callable[[RowOutcome], None]


def nobody(_outcome: RowOutcome) -> None:
    """Is told of a row's answer."""


class Bookkeeper:
    """Books ended jobs.

    Args:
        run_id: the Dagster run the calls belong to, if any.
    """

    def __init__(
        self,
        database: Database,
        core: ProviderBatches,
        moves: JobMoves,
        clock: Callable[[], datetime],
        run_id: str | None,
    ) -> None:
        self._database = database
        self._core = core
        self._moves = moves
        self._clock = clock
        self._run_id = run_id

    async def settle(
        self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion, told: Told = nobody
    ) -> ProviderJob:
        """The job once what it brought is booked; `told` hears of every answer.

        Raises:
            ProviderError: its results cannot be fetched, which stands with the job from now on.
            ConflictError, DatabaseUnavailableError: it can be done again.
        """
        api = self._core.api(job.model)
        status = (await api.statuses([str(job.provider_id)])).get(str(job.provider_id))
        if status is None or not status.ended:
            return await self._moves.move(job, JobState.SUBMITTED)
        results = await self._results(job, status)
        if status.failed and not results:
            return await self._moves.move(job, JobState.SETTLED, problem=f"refused by the provider: {status.problem}")
        contract = prompt.steps[-1].output
        settled = settle_lines(job, status, results, contract, self._lineage(prompt), self._clock().timestamp())
        booked = await self._booked(job, batch, settled, {"provider_state": status.state, "problem": None})
        for _, outcome in settled.outcomes:
            told(outcome)
        return booked

    async def give_up(self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion) -> ProviderJob:
        """The job once every request of it is booked as ambiguous.

        Raises:
            ConflictError, DatabaseUnavailableError: as `settle`.
        """
        settled = all_lost(job, prompt.steps[-1].output, self._lineage(prompt), self._clock().timestamp())
        return await self._booked(job, batch, settled, {"problem": "written off by a person"})

    async def _results(self, job: ProviderJob, status: JobStatus) -> list[LineResult]:
        began = job.created_at.timestamp()
        bounds = {
            call_id_of(job.id, one.row, began): TokenBounds(one.input_tokens, one.output_tokens) for one in job.reserves
        }
        try:
            return await self._core.api(job.model).results(status, bounds)
        except ProviderError as error:
            await self._moves.note_problem(job, f"its results cannot be fetched: {error.problem}")
            raise

    async def _booked(
        self, job: ProviderJob, batch: BatchRecord, settled: Settled, more: dict[str, Any]
    ) -> ProviderJob:
        """The job once it is booked and subscribers know of it; who dies between the two has told nobody."""
        booked = await asyncio.to_thread(self._book, job, batch, settled, more)
        await self._core.tell(settled.events)
        return booked

    def _book(self, job: ProviderJob, batch: BatchRecord, settled: Settled, more: dict[str, Any]) -> ProviderJob:
        """One transaction: the ledger's lines, the rows' answers, and that the job is settled."""
        kept = batch.worker is not None
        values = {
            "cost_nano_usd": settled.cost_nano_usd,
            "lost_nano_usd": settled.lost_nano_usd,
            "overrun": settled.overrun,
            **more,
        }
        with self._database.session() as session:
            if kept:
                batches.require_claims(session, {batch.id: batch.claim})
            moved = provider_jobs.move(session, job, JobState.SETTLED, self._clock(), **values)
            write_settled(session, settled.calls, settled.attempts)
            if kept:
                answers = [(batch.id, row, encode(outcome)) for row, outcome in settled.outcomes]
                batch_chunks.put_answers(session, answers)
            if settled.open_lost:
                batch_chunks.mark_interrupted(session, batch.id, [job.chunk])
        return moved

    def _lineage(self, prompt: PromptVersion) -> JobLineage:
        return JobLineage(prompt.id, prompt.steps[-1].name, self._run_id)
