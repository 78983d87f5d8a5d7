"""What a person does with a job that was put aside: it may exist, and the provider could not be asked.

One that has ended, and whose results cannot be fetched, can be given up as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

from domain.batch.provider_jobs import JobState
from domain.batch.states import BatchState
from domain.errors import ConflictError, InputError
from resources.batch_inference.leases import require_free
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.database.repositories import batches, provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database


async def adopt(
    database: Database, desk: JobDesk, batch: str, job: str, provider_id: str, now: datetime
) -> ProviderJob:
    """Take the provider's job of that id for ours, after asking the provider whether it has it.

    Raises:
        NotFoundError, InputError: batch, job or the provider's id name nothing, or several.
        ConflictError: the job was not put aside, or a living worker has the batch.
        ProviderError: the provider does not answer.
    """
    _, found = await asyncio.to_thread(_put_aside, database, batch, job, now)
    status = (await desk.core.api(found.model).statuses([provider_id])).get(provider_id)
    if status is None:
        raise InputError(
            f"the provider has no job {provider_id!r}",
            field="provider-job",
            mend="copy its id from the provider's page.",
        )
    return await asyncio.to_thread(_adopt, database, found, status.id, status.state, now)


async def write_off(database: Database, desk: JobDesk, batch: str, job: str, now: datetime) -> ProviderJob:
    """Give the job up: what it may have cost stays charged as ambiguous, and its rows are asked again.

    Raises:
        NotFoundError, InputError, ConflictError: as `adopt`; but its results may be what cannot be had, while its batch
            rests.
        StateUnavailableError: the budgets cannot be told; it can be done again.
    """
    record, found = await asyncio.to_thread(_put_aside, database, batch, job, now, or_stuck=True)
    return await desk.write_off(found, replace(record, worker=None))


def _put_aside(
    database: Database, batch: str, job: str, now: datetime, *, or_stuck: bool = False
) -> tuple[BatchRecord, ProviderJob]:
    with database.session(read_only=True) as session:
        record = batches.get(session, batch)
        found = provider_jobs.get(session, record.id, job)
    if found.state != JobState.QUARANTINED and not (or_stuck and _is_stuck(found, record)):
        raise ConflictError(f"Provider job {found.id[:12]} is {found.state}, not put aside.")
    if record.worker is not None:
        require_free(record, now)
    return record, found


def _is_stuck(job: ProviderJob, batch: BatchRecord) -> bool:
    rests = batch.state == BatchState.PAUSED or BatchState(batch.state).is_final
    return rests and job.state == JobState.ENDED and job.problem is not None


def _adopt(database: Database, job: ProviderJob, provider_id: str, state: str, now: datetime) -> ProviderJob:
    with database.session() as session:
        values = {"provider_id": provider_id, "provider_state": state, "problem": None}
        return provider_jobs.move(session, job, JobState.SUBMITTED, now, **values)
