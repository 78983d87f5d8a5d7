"""Which tasks have batch work, for a sensor: files not taken in yet, batches that may go on. Reads, never writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session
from upath import UPath

from domain.batch.provider_jobs import FOR_A_WORKER, JobState
from domain.identity import content_id
from resources.batch_inference.drain import GRACE, holds_up_the_task, may_go_on
from resources.batch_inference.landing import landed_files, not_taken_in
from resources.database.repositories import batch_files, batches, provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.storage.listing import folder_names

AGAIN_AFTER = timedelta(minutes=10)
"""A job that a batch left behind at its end, and whose provider did not answer, is work again after so long, and then
after pauses that double: the run that did not get on with it has not failed."""


@dataclass(frozen=True, slots=True)
class DueTask:
    """A task with work.

    Attributes:
        key: the same as long as exactly the same is to be done: a run that was asked for is not asked for again.
    """

    task: str
    files: int
    batches: int
    key: str


def due_tasks(database: Database, folder: UPath, tasks: Iterable[str], now: datetime) -> list[DueTask]:
    """The tasks among `tasks` that have work, by name.

    A task one of whose batches rests for a reason that concerns all of them (a spent budget, a refused key) has none
    until that batch may go on.

    Raises:
        OSError: the batch folder cannot be listed.
        DatabaseUnavailableError: as `Database.session`.
    """
    there = folder_names(folder)
    with database.session(read_only=True) as session:
        open_by_task: dict[str, list[BatchRecord]] = {}
        for record in batches.open_batches(session):
            open_by_task.setdefault(record.task, []).append(record)
        jobs_ready = provider_jobs.ready_batches(session, now - GRACE)
        left = _left_work(session, now)
        due: list[DueTask] = []
        for task in sorted(tasks):
            opened = open_by_task.get(task, [])
            # Which may make room in a spent budget.
            settles = task in left or any(record.id in jobs_ready for record in opened)
            held_up = any(holds_up_the_task(record) and not may_go_on(record, now, jobs_ready) for record in opened)
            if held_up and not settles:
                continue
            files = landed_files(folder, task, now.timestamp()) if task in there else []
            new = not_taken_in(files, batch_files.stamps(session, task)) if files else []
            ready = [record for record in opened if may_go_on(record, now, jobs_ready)]
            if new or ready or task in left:
                parts = [[file.name, file.stamp] for file in new] + [[one.id, one.claim] for one in ready]
                due.append(DueTask(task, len(new), len(ready), content_id([*parts, *left.get(task, ())])))
    return due


def _left_work(session: Session, now: datetime) -> dict[str, list[list[str]]]:
    """By task: what there is to do about jobs that batches left behind at their end."""
    found: dict[str, list[list[str]]] = {}
    for job in provider_jobs.of_ended_batches(session):
        if _can_be_withdrawn(job, now):
            tries = ((now - job.changed_at) // AGAIN_AFTER).bit_length()
            found.setdefault(job.task, []).append([job.id, job.state, job.changed_at.isoformat(), str(tries)])
    return found


def _can_be_withdrawn(job: ProviderJob, now: datetime) -> bool:
    if job.state == JobState.SUBMITTED:
        return not job.is_being_cancelled
    return job.state in FOR_A_WORKER or (job.state == JobState.CREATING and job.changed_at <= now - GRACE)
