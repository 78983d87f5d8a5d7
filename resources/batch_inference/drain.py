"""Draining a task: every file of its folder taken in, every batch that may go on run, many at once in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from upath import UPath

from domain.batch.provider_jobs import GRACE_S
from domain.batch.states import BatchState, PauseKind
from domain.errors import ConflictError, InputError, PromptoryError
from domain.task import Task
from resources.batch_inference.intake import Intake, Wish
from resources.batch_inference.landing import current_stamp, landed_files, not_taken_in
from resources.batch_inference.leases import is_free
from resources.batch_inference.sources import FileSource
from resources.batch_inference.worker import BatchWorker
from resources.database.repositories import batch_files, batches, provider_jobs
from resources.database.repositories.batch_files import BatchFileRecord
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.storage.failures import storage_away, storage_errors
from resources.storage.listing import Entry

GRACE = timedelta(seconds=GRACE_S)
BATCHES_AT_ONCE = 32
"""Small files are answered side by side; the worker's slots bound how many rows are."""


@dataclass(slots=True)
class Drained:
    """What draining a task came to.

    Attributes:
        delivered_before: files whose rows are a batch already.
        refused: files that cannot be used, with the reason.
        batches: every batch that was run, as it was afterwards.
    """

    taken_in: int = 0
    delivered_before: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    batches: list[BatchRecord] = field(default_factory=list)


class Drain:
    """Drains one task with one worker."""

    def __init__(
        self,
        database: Database,
        root: UPath,
        folder: UPath,
        task: Task,
        worker: BatchWorker,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._folder = folder
        self._task = task
        self._worker = worker
        self._clock = clock
        self._intake = Intake(database, root)
        self._result = Drained()
        self._error: PromptoryError | None = None

    async def run(self) -> Drained:
        """Everything that is there, until it is done, paused or interrupted. A bad file stops no other.

        Raises:
            PromptoryError: what ended a batch's work for a reason that would end the others', too; they are left for
                the next run.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=2 * BATCHES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for _ in range(BATCHES_AT_ONCE):
                group.create_task(self._consume(queue))
            try:
                await self._worker.settle_cancelled(self._task.name)
                await self._fill(queue)
            except PromptoryError as error:
                self._give_up(error)
            except storage_errors() as error:
                self._give_up(storage_away(error))
            for _ in range(BATCHES_AT_ONCE):
                await queue.put(None)
        if self._error is not None:
            raise self._error
        return self._result

    async def _fill(self, queue: asyncio.Queue[str | None]) -> None:
        queued: set[str] = set()
        for record in await asyncio.to_thread(self._goes_on):
            queued.add(record.id)
            await queue.put(record.id)
        for file in await asyncio.to_thread(self._new_files):
            if self._worker.interrupted is not None:
                return
            record = await asyncio.to_thread(self._take_in, file)
            if record is not None and record.id not in queued:
                queued.add(record.id)
                await queue.put(record.id)

    async def _consume(self, queue: asyncio.Queue[str | None]) -> None:
        while (batch_id := await queue.get()) is not None:
            if self._worker.interrupted is not None:
                continue
            try:
                record = await self._worker.run(batch_id)
            except ConflictError:
                continue  # another worker was faster
            except PromptoryError as error:
                self._give_up(error)
                continue
            self._result.batches.append(record)
            if holds_up_the_task(record):
                self._worker.interrupt(record.reason or "")

    def _give_up(self, error: PromptoryError) -> None:
        """The other batches would meet the same: let them come to rest, and begin none. Nothing paid is broken off."""
        self._error = self._error or error
        self._worker.interrupt(error.problem)

    def _goes_on(self) -> list[BatchRecord]:
        with self._database.session(read_only=True) as session:
            found = batches.open_batches(session, self._task.name)
            now = self._clock()
            ready = provider_jobs.ready_batches(session, now - GRACE, self._task.name)
        return [record for record in found if may_go_on(record, now, ready)]

    def _new_files(self) -> list[Entry]:
        files = landed_files(self._folder, self._task.name, self._clock().timestamp())
        with self._database.session(read_only=True) as session:
            return not_taken_in(files, batch_files.stamps(session, self._task.name))

    def _take_in(self, file: Entry) -> BatchRecord | None:
        """The batch to run; None where there is nothing to do."""
        now = self._clock()
        wish = Wish(self._task.batch.options(), landed=(file.name, file.stamp))
        try:
            taken = self._intake.take_in(self._task, FileSource(file.path), now, wish)
        except InputError as error:
            if current_stamp(file) != file.stamp:
                return None  # it was still being written
            with self._database.session() as session:
                record = BatchFileRecord(self._task.name, file.name, file.stamp, None, str(error), now)
                batch_files.put(session, record)
            self._result.refused.append((file.name, error.problem))
            return None
        if taken.is_new:
            self._result.taken_in += 1
        else:
            self._result.delivered_before += 1
        return taken.record if may_go_on(taken.record, now) else None


def holds_up_the_task(record: BatchRecord) -> bool:
    """Whether what paused the batch would pause the task's other batches, too: a shared budget, a key, a model."""
    if record.state != BatchState.PAUSED or record.pause_kind is None:
        return False
    kind = PauseKind(record.pause_kind)
    return kind is PauseKind.REFUSED or (kind is PauseKind.BUDGET and record.settings.cap_usd is None)


def may_go_on(record: BatchRecord, now: datetime, ready: Container[str] = ()) -> bool:
    """Whether draining runs the batch: nobody has it, nobody holds it back, and its time has come.

    Args:
        ready: batches with a provider's job that can be led on.
    """
    if not is_free(record, now):
        return False
    if record.state == BatchState.WAITING:
        return record.id in ready
    if record.state != BatchState.PAUSED:
        return True
    kind = None if record.pause_kind is None else PauseKind(record.pause_kind)
    if kind is PauseKind.BUDGET and record.id in ready:
        return True  # what its own jobs give back may be what it waits for
    return kind is not None and kind.ends_by_itself and (record.resume_at is None or record.resume_at <= now)
