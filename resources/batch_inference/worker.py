"""A worker: claims batches one after another or many at once, runs them to an end or a pause, and lets them go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.orm import Session
from upath import UPath

from domain.batch.provider_jobs import GRACE_S
from domain.batch.states import BatchState, PauseKind
from domain.errors import ConfigurationError, ConflictError, InputError, NotFoundError, PromptoryError, ProviderError
from domain.prompt import PromptVersion
from resources.batch_inference.answering import ChunkAnswerer, Slots
from resources.batch_inference.chunks import Chunks
from resources.batch_inference.direct import DirectAnswerer
from resources.batch_inference.finishing import finish_batch
from resources.batch_inference.keeping import AnswerKeeper
from resources.batch_inference.leases import LEASE_S, Leases
from resources.batch_inference.letting_go import let_go, let_wait
from resources.batch_inference.marks import WorkerMark
from resources.batch_inference.progress import Counting, ProgressListener
from resources.batch_inference.provider_batches.answerer import ProviderAnswerer
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.batch_inference.repeats import let_the_lost_be_booked
from resources.batch_inference.runner import OPEN_CHUNKS, BatchRunner
from resources.batch_inference.stopping import Stop, StopReason
from resources.batch_inference.turns import short_turns
from resources.database.repositories import aliases, batch_chunks, batches, prompt_versions, provider_jobs
from resources.database.repositories import tasks as stored_tasks
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.evaluation.promote import PRODUCTION
from resources.llm.client import LLMClient
from resources.storage.failures import storage_away, storage_errors

REPORT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerTime:
    """Injected time: `clock` with its zone, `monotonic` seconds, `sleep`."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class BatchWorker:
    """Made by `open_worker`; used on the event loop that made it."""

    def __init__(
        self,
        database: Database,
        root: UPath,
        llm: LLMClient,
        direct: ChunkAnswerer,
        provider: ProviderAnswerer,
        leases: Leases,
        keeper: AnswerKeeper,
        timing: WorkerTime,
    ) -> None:
        self._database = database
        self._root = root
        self._llm = llm
        self._direct = direct
        self._provider = provider
        self.desk = provider.desk
        self._leases = leases
        self._keeper = keeper
        self._time = timing
        self._stops: dict[str, Stop] = {}
        self._counting: dict[str, Counting] = {}
        self._prompts: dict[tuple[str, str], PromptVersion] = {}
        self._interrupted: str | None = None

    def interrupt(self, reason: str) -> None:
        """Let all batches pause once the rows under way are answered; none is begun any more."""
        self._interrupted = self._interrupted or reason
        for stop in self._stops.values():
            stop.pause(PauseKind.INTERRUPTED, reason)

    @property
    def interrupted(self) -> str | None:
        """Why no further batch is begun; None while it is not so."""
        return self._interrupted

    async def run(self, batch_id: str) -> BatchRecord:
        """Run a batch to its end, or until it pauses; as it is then. A finished one is left as it is, for nothing.

        Raises:
            NotFoundError: there is no such batch, or its task has no production prompt.
            ConflictError: another worker has it, or took it over.
            StateUnavailableError, DatabaseUnavailableError: it pauses and can be run again.
        """
        record = await asyncio.to_thread(self._read, batch_id)
        if record.state == BatchState.DONE or self._interrupted is not None:
            return record
        stop = Stop()
        batch = await asyncio.to_thread(self._leases.take, record.id, stop)
        if batch.worker is None:
            return batch
        began = self._time.monotonic()
        self._stops[batch.id] = stop
        if self._interrupted is not None:  # while it was claimed
            stop.pause(PauseKind.INTERRUPTED, self._interrupted)
        try:
            return await self._run_claimed(batch, stop, began)
        except ConflictError:
            raise  # it is another worker's now
        except storage_errors() as error:
            await self._let_go_after(storage_away(error), batch, stop, began)
            raise storage_away(error) from error
        except BaseException as error:
            await self._let_go_after(error, batch, stop, began)
            raise
        finally:
            self._stops.pop(batch.id, None)
            self._counting.pop(batch.id, None)
            self._leases.drop(batch.id)

    async def settle_cancelled(self, task: str) -> None:
        """Cancel the jobs at providers that batches left behind when they were cancelled (or done by another worker),
        and book what they came to; one that cannot be led on now stops no other.

        Raises:
            StateUnavailableError, DatabaseUnavailableError: it can be done again.
        """
        for job, batch in await asyncio.to_thread(self._jobs_left, task):
            with suppress(ProviderError, ConflictError, ConfigurationError):
                await self.desk.withdraw(job, batch)

    async def report(self, listener: ProgressListener) -> None:
        """Tell `listener` of every running batch, every second until cancelled."""
        while True:
            await self._time.sleep(REPORT_EVERY_S)
            now = self._time.monotonic()
            for counting in list(self._counting.values()):
                listener(counting.at(now))

    async def _run_claimed(self, batch: BatchRecord, stop: Stop, began: float) -> BatchRecord:
        prepared = await asyncio.to_thread(self._prepare, batch)
        self._counting[batch.id] = prepared.counting
        if (cap := batch.settings.cap_usd) is not None:
            await self._llm.set_cap(f"run:{batch.id}", cap)
        answerer: ChunkAnswerer = self._direct
        if batch.settings.how == "provider":
            answerer = self._provider
            await self._provider.collect(prepared.batch, prepared.prompt, prepared.chunks, stop, prepared.counting)
        await BatchRunner(
            prepared.batch, prepared.prompt, prepared.chunks, answerer, self._keeper, stop, prepared.counting
        ).run()
        active_s = batch.active_s + self._time.monotonic() - began
        if stop.reason is not None:
            return await asyncio.to_thread(
                let_go, self._database, prepared.batch, stop.reason, active_s, self._time.clock()
            )
        if prepared.chunks.submitted:
            return await asyncio.to_thread(let_wait, self._database, prepared.batch, active_s, self._time.clock())
        if batch.claim > 1:
            await let_the_lost_be_booked(self._llm, batch.id, self._time.sleep)
        return await asyncio.to_thread(
            finish_batch, self._database, self._root, prepared.batch, active_s, self._time.clock()
        )

    def _jobs_left(self, task: str) -> list[tuple[ProviderJob, BatchRecord]]:
        with self._database.session(read_only=True) as session:
            jobs = provider_jobs.of_ended_batches(session, task)
            return [(job, batches.get(session, job.batch_id)) for job in jobs]

    def _read(self, batch_id: str) -> BatchRecord:
        with self._database.session(read_only=True) as session:
            return batches.get(session, batch_id)

    def _prepare(self, batch: BatchRecord) -> Prepared:
        """Pin the prompt where that has not been done, and count what stands already."""
        with self._database.session() as session:
            version_id = batch.prompt_version_id or _production(session, batch.task)
            prompt = self._prompt(session, batch.task, version_id)
            keep = batch.settings.keep_inputs
            kept = stored_tasks.get_task(session, batch.task).task.dataset.inputs if keep else ()
            if batch.prompt_version_id is None:
                batches.change_claimed(session, batch.id, batch.claim, prompt_version_id=version_id)
                batch = replace(batch, prompt_version_id=version_id)
            done = batch_chunks.counts(session, batch.id).finished_rows
        chunks = Chunks(self._database, self._root, batch, prompt, kept)
        if batch.claim > 1:
            chunks.mark_interrupted(OPEN_CHUNKS + 1)
        return Prepared(batch, prompt, chunks, Counting(batch.id, batch.task, batch.rows, done))

    def _prompt(self, session: Session, task: str, version_id: str) -> PromptVersion:
        """Read once: thousands of small files have one prompt."""
        key = (task, version_id)
        if key not in self._prompts:
            self._prompts[key] = prompt_versions.get(session, task, version_id).prompt
        return self._prompts[key]

    async def _let_go_after(self, error: BaseException, batch: BatchRecord, stop: Stop, began: float) -> None:
        """Leave the batch as well as that can still be done; the error that ended the work is the one to be told."""
        if isinstance(error, ConfigurationError | InputError | NotFoundError):
            reason = StopReason(PauseKind.REFUSED, str(error))
        else:
            told = error.problem if isinstance(error, PromptoryError) else type(error).__name__
            reason = stop.reason or StopReason(PauseKind.INTERRUPTED, f"interrupted: {told}")
        active_s = batch.active_s + self._time.monotonic() - began
        resting = asyncio.to_thread(
            let_go, self._database, batch, replace(reason, error=None), active_s, self._time.clock()
        )
        with suppress(PromptoryError):
            await asyncio.shield(resting)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed batch, ready to be asked."""

    batch: BatchRecord
    prompt: PromptVersion
    chunks: Chunks
    counting: Counting


def _production(session: Session, task: str) -> str:
    current = aliases.find(session, task, PRODUCTION)
    if current is None:
        raise NotFoundError(
            f"Task {task!r} has no prompt in production.",
            mend=f"Let the gate promote one (`promptory evaluate {task}`), or name a version: `--prompt v1`.",
        )
    return current.prompt_version_id


@asynccontextmanager
async def open_worker(
    database: Database,
    root: UPath,
    llm: LLMClient,
    *,
    concurrency: int,
    run_id: str | None = None,
    answerer: ChunkAnswerer | None = None,
    listener: ProgressListener | None = None,
    timing: WorkerTime = WorkerTime(),
    lease_s: float = LEASE_S,
    grace_s: float = GRACE_S,
) -> AsyncIterator[BatchWorker]:
    """A worker on the running event loop; its leases are prolonged, and progress is told, inside the block.

    Args:
        concurrency: rows at the provider at once, over all its batches.
        run_id: the Dagster run that the calls belong to.
        answerer: how chunks are answered; None asks the core row by row.
        listener: told of every running batch once a second.
        grace_s: how long a request to create a provider's job may be under way when its sender is gone.
    """
    leases = Leases(database, WorkerMark.new(), timing.clock, timing.sleep, lease_s)
    keeper = AnswerKeeper(database, timing.sleep)
    direct = answerer or DirectAnswerer(llm, Slots(concurrency), run_id=run_id, sleep=timing.sleep)
    desk = JobDesk(database, root, llm.provider_batches, timing.clock, run_id=run_id, grace_s=grace_s)
    provider = ProviderAnswerer(database, desk, direct, timing.clock)
    worker = BatchWorker(database, root, llm, direct, provider, leases, keeper, timing)
    beside = [asyncio.create_task(leases.keep_alive())]
    if listener is not None:
        beside.append(asyncio.create_task(worker.report(listener)))
    try:
        with short_turns():
            yield worker
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await keeper.close()
