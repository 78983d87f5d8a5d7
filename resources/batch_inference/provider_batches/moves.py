"""Moving jobs on in the database: one step is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from domain.batch.provider_jobs import JobState
from resources.database.repositories import batches, provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.llm.batch_api import JobStatus


class JobMoves:
    """Steps of jobs, made in a thread. Each raises `ConflictError` where somebody else has moved the job."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def move(self, job: ProviderJob, state: JobState, **values: Any) -> ProviderJob:
        """The job in its next state, with `values` set."""
        return await self._write(lambda session: provider_jobs.move(session, job, state, self._clock(), **values))

    async def add(self, job: ProviderJob, batch: BatchRecord) -> None:
        """Write a new job down.

        Raises:
            ConflictError: another worker has the batch.
        """
        await self._write_claimed(batch, lambda session: provider_jobs.add(session, job))

    async def move_towards(self, job: ProviderJob, batch: BatchRecord, state: JobState, **values: Any) -> ProviderJob:
        """`move`, on the way to the provider: only the worker that has the batch may have its rows asked.

        Raises:
            ConflictError: likewise where another worker has the batch.
        """
        return await self._write_claimed(
            batch, lambda session: provider_jobs.move(session, job, state, self._clock(), **values)
        )

    async def note_problem(self, job: ProviderJob, problem: str) -> None:
        """Remember for people why the job does not get on."""
        await self._write(lambda session: provider_jobs.note_problem(session, job, problem))

    async def drop(self, job: ProviderJob) -> None:
        """Forget a job of which nothing was sent."""
        await self._write(lambda session: provider_jobs.drop(session, job))

    async def _write_claimed(self, batch: BatchRecord, step: Callable[[Session], Any]) -> Any:
        def write(session: Session) -> Any:
            batches.require_claims(session, {batch.id: batch.claim})
            return step(session)

        return await self._write(write)

    async def _write(self, step: Callable[[Session], Any]) -> Any:
        def write() -> Any:
            with self._database.session() as session:
                return step(session)

        return await asyncio.to_thread(write)


def note_status(database: Database, job: ProviderJob, statuses: dict[str, JobStatus], now: datetime) -> ProviderJob:
    """Keep what the provider said of a submitted job. One that it does not know any more is put aside. Blocks.

    Raises:
        ConflictError: somebody else has moved it.
        DatabaseUnavailableError: as `Database.session`.
    """
    status = statuses.get(str(job.provider_id))
    with database.session() as session:
        if status is None:
            problem = "the provider does not know the job any more"
            return provider_jobs.move(session, job, JobState.QUARANTINED, now, problem=problem, seen_at=now)
        job = provider_jobs.see(session, job, status.state, status.counts, now)
        if status.ended:
            return provider_jobs.move(session, job, JobState.ENDED, now)
        return job
