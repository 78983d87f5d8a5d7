"""Asking providers how far their jobs are: a few requests for all jobs, and no worker that waits."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.batch.provider_jobs import JobState
from domain.errors import ConfigurationError, ConflictError, InputError, ProviderError
from resources.batch_inference.provider_batches.moves import note_status
from resources.database.repositories import batches, provider_jobs
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.llm.endpoints import Endpoints


@dataclass(slots=True)
class Polled:
    """What a look at the providers brought.

    Attributes:
        tasks: those whose jobs have ended, or were put aside for a person.
        problems: endpoints that could not be asked, with the reason.
    """

    looked_at: int = 0
    ended: int = 0
    tasks: set[str] = field(default_factory=set[str])
    problems: dict[str, str] = field(default_factory=dict[str, str])


async def poll(database: Database, endpoints: Endpoints, now: datetime) -> Polled:
    """Look at the submitted jobs due by their batches' `poll_s`. A provider that is away stops no other.

    Raises:
        DatabaseUnavailableError: as `Database.session`.
    """
    polled = Polled()
    by_endpoint: dict[str, list[ProviderJob]] = defaultdict(list)
    for job in await asyncio.to_thread(_due, database, now):
        by_endpoint[job.endpoint].append(job)
    for name, jobs in by_endpoint.items():
        try:
            statuses = await endpoints.batch_api(jobs[0].model).statuses([str(job.provider_id) for job in jobs])
        except (ProviderError, ConfigurationError, InputError) as error:
            polled.problems[name] = error.problem
            continue
        for job in jobs:
            try:
                seen = await asyncio.to_thread(note_status, database, job, statuses, now)
            except ConflictError:
                continue  # a worker was faster
            polled.looked_at += 1
            polled.ended += seen.state == JobState.ENDED
            if seen.state != JobState.SUBMITTED:
                polled.tasks.add(job.task)
    return polled


def _due(database: Database, now: datetime) -> list[ProviderJob]:
    with database.session(read_only=True) as session:
        jobs = provider_jobs.submitted(session)
        intervals = {
            batch_id: timedelta(seconds=record.settings.poll_s)
            for batch_id in {job.batch_id for job in jobs}
            if (record := batches.find(session, batch_id)) is not None
        }
    return [job for job in jobs if (job.seen_at or job.changed_at) + intervals.get(job.batch_id, timedelta()) <= now]
