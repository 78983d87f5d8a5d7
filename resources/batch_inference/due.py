"""Which tasks have batch work, for a sensor: files not taken in yet, batches that may go on. Reads, never writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session
from upath import UPath

from domain.identity import content_id
from resources.batch_inference.drain import GRACE, holds_up_the_task, may_go_on
from resources.batch_inference.landing import landed_files, not_taken_in
from resources.database.repositories import batch_files, batches, provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.storage.listing import folder_names


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
        cancelled = {job.task for job in provider_jobs.of_cancelled_batches(session) if job.batch_id in jobs_ready}
        due: list[DueTask] = []
        for task in sorted(tasks):
            opened = open_by_task.get(task, [])
            settles = any(record.id in jobs_ready for record in opened)  # which may make room in a spent budget
            held_up = any(holds_up_the_task(record) and not may_go_on(record, now, jobs_ready) for record in opened)
            if held_up and not settles:
                continue
            files = landed_files(folder, task, now.timestamp()) if task in there else []
            new = not_taken_in(files, batch_files.stamps(session, task)) if files else []
            ready = [record for record in opened if may_go_on(record, now, jobs_ready)]
            if new or ready or task in cancelled:
                parts = [[file.name, file.stamp] for file in new] + [[one.id, one.claim] for one in ready]
                key = content_id([*parts, *_cancelled_keys(session, task)] if task in cancelled else parts)
                due.append(DueTask(task, len(new), len(ready), key))
    return due


def _cancelled_keys(session: Session, task: str) -> list[list[str]]:
    jobs = provider_jobs.of_cancelled_batches(session, task)
    return [[job.id, job.state, job.changed_at.isoformat()] for job in jobs]
