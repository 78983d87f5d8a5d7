"""Leading a provider's job on, one durable step at a time, from any state that a crash may have left it in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from upath import UPath

from domain.batch.provider_jobs import GRACE_S, JobState, call_id_of
from domain.errors import ConfigurationError, ConflictError, ProviderError, UnansweredError
from domain.prompt import PromptVersion
from resources.batch_inference.outcome_text import encode
from resources.batch_inference.provider_batches.requests import BatchRequests
from resources.batch_inference.provider_batches.settling import JobLineage, Settled, all_lost, settle_lines
from resources.batch_inference.snapshot import NAME, Snapshot
from resources.database.repositories import batch_chunks, batches, prompt_versions, provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.llm.batch_api import BatchApi, JobStatus, LookupUnsupportedError, TokenBounds
from resources.llm.ledger_database import write_settled
from resources.llm.provider_batches import ProviderBatches
from resources.llm.state.protocol import Admitted, Refused

BUDGET_EXHAUSTED = "budget_exhausted"


class JobDesk:
    """Jobs of any batch. Whoever leads one on has its batch, or the batch has come to its end.

    Args:
        run_id: the Dagster run the calls belong to, if any.
        grace_s: how long a request to create a job may still be under way when its sender is gone.
    """

    def __init__(
        self,
        database: Database,
        root: UPath,
        core: ProviderBatches,
        clock: Callable[[], datetime],
        *,
        run_id: str | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.core = core
        self._database = database
        self._root = root
        self._clock = clock
        self._run_id = run_id
        self._grace = timedelta(seconds=grace_s)

    async def submit(self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion) -> ProviderJob:
        """Write a new job down, reserve its worst case, upload it and have the provider create it.

        Raises:
            ConflictError: another worker has the batch.
            UnansweredError: a budget has no room for it; nothing is left of it.
            ProviderError: the provider refused, or did not answer; the next one who has the batch leads it on.
            StateUnavailableError, DatabaseUnavailableError: likewise.
        """
        await self._write_claimed(batch, lambda session: provider_jobs.add(session, job))
        verdict = await self.core.hold(job)
        if not isinstance(verdict, Admitted):
            await self._write(lambda session: provider_jobs.drop(session, job))
            detail = verdict.detail if isinstance(verdict, Refused) else _held_by_others(job)
            raise UnansweredError(detail, reason=BUDGET_EXHAUSTED)
        try:
            held = await self._move_claimed(job, batch, JobState.HELD)
        except ConflictError:
            await self.core.release(job, "free", 0)  # another worker has the batch, and has dropped what was planned
            raise
        return await self._send(held, batch, prompt, began_before=False)

    async def lead_on(self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion) -> ProviderJob | None:
        """The job after everything that can be done about it now; None where nothing was sent, so it is forgotten.

        Raises:
            ProviderError, StateUnavailableError, DatabaseUnavailableError, ConflictError: it stays where it is.
        """
        if job.state == JobState.PLANNED:
            return await self._forget(job)
        if job.state == JobState.HELD:
            job = await self._send(job, batch, prompt, began_before=True)
        elif job.state == JobState.CREATING:
            job = await self._look_up(job, batch)
        if job.state == JobState.SUBMITTED:
            job = await self.look_at(job)
        if job.state == JobState.ENDED:
            job = await self._settle(job, batch, prompt)
        if job.state == JobState.SETTLED:
            job = await self._close(job)
        return job

    async def withdraw(self, job: ProviderJob, batch: BatchRecord) -> ProviderJob | None:
        """`lead_on` for a batch at its end: nothing further is sent, and what is billed all the same is booked.

        Raises:
            ProviderError, StateUnavailableError, DatabaseUnavailableError, ConflictError: as `lead_on`.
        """
        if job.state == JobState.PLANNED:
            return await self._forget(job)
        if job.state == JobState.HELD:
            file = await self._api(job).find_file(job.id)
            job = await self._move(job, JobState.SETTLED, file=file, problem="cancelled before it was sent")
        elif job.state == JobState.CREATING:
            job = await self._look_up(job, batch, create=False)
        if job.state == JobState.SUBMITTED and not job.is_being_cancelled:
            await self._api(job).cancel(str(job.provider_id))
        if job.state == JobState.SUBMITTED:
            job = await self.look_at(job)
        if job.state == JobState.ENDED:
            job = await self._settle(job, batch, await asyncio.to_thread(self._prompt_of, batch))
        if job.state == JobState.SETTLED:
            job = await self._close(job)
        return job

    async def look_at(self, job: ProviderJob) -> ProviderJob:
        """Ask the provider how far a submitted job is."""
        statuses = await self._api(job).statuses([str(job.provider_id)])
        try:
            return await asyncio.to_thread(note_status, self._database, job, statuses, self._clock())
        except ConflictError:
            return await asyncio.to_thread(self._read, job)  # the sensor saw it at the same moment

    async def write_off(self, job: ProviderJob, batch: BatchRecord) -> ProviderJob:
        """Give a quarantined job up: every request keeps its charge as ambiguous, and its row may be asked again.

        Raises:
            ConflictError: somebody else has moved it.
            StateUnavailableError, DatabaseUnavailableError: it can be done again.
        """
        prompt = await asyncio.to_thread(self._prompt_of, batch)
        settled = all_lost(job, prompt.steps[-1].output, self._lineage(prompt), self._clock().timestamp())
        more = {"problem": "written off by a person"}
        return await self._close(await self._booked(job, batch, settled, None, more))

    async def _send(
        self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion, *, began_before: bool
    ) -> ProviderJob:
        api = self._api(job)
        file = await api.find_file(job.id) if began_before else None
        if file is None:
            file = await api.upload(job.id, await self._file(job, batch, prompt))
        return await self._create(await self._move_claimed(job, batch, JobState.CREATING, file=file))

    async def _file(self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion) -> bytes:
        requests = BatchRequests(self.core, batch, prompt, job.round)
        snapshot = Snapshot(self._root / batch.folder / NAME)
        rows = {row.number: row for row in await asyncio.to_thread(snapshot.read, job.chunk)}
        began = job.created_at.timestamp()
        return await requests.file(
            [(call_id_of(job.id, reserve.row, began), rows[reserve.row]) for reserve in job.reserves]
        )

    async def _create(self, job: ProviderJob) -> ProviderJob:
        try:
            status = await self._api(job).create(job.id, str(job.file), job.model)
        except ProviderError as error:
            if error.never_sent:
                await self._move(job, JobState.HELD)
            elif error.status_code is not None and error.status_code < 500 and not error.rule.outcome_unknown:
                # Refused for certain: there is no such job, and what it holds is free.
                job = await self._move(job, JobState.SETTLED, problem=error.problem)
                await self._close(job)
            raise
        return await self._move(job, JobState.SUBMITTED, provider_id=status.id, provider_state=status.state)

    async def _look_up(self, job: ProviderJob, batch: BatchRecord, *, create: bool = True) -> ProviderJob:
        """Whether the provider has a job whose creation was cut off; if it has none, for certain, create it."""
        if self._clock() - job.changed_at < self._grace:
            return job
        try:
            found = await self._api(job).find(job.id, job.created_at.timestamp())
        except LookupUnsupportedError as error:
            return await self._move(job, JobState.QUARANTINED, problem=error.problem)
        if found is not None:
            return await self._move(job, JobState.SUBMITTED, provider_id=found.id, provider_state=found.state)
        if not create:
            return await self._move(job, JobState.SETTLED, problem="cancelled before it was created")
        # Moving it first keeps out whoever else may think that it is theirs.
        return await self._create(await self._move_claimed(job, batch, JobState.CREATING))

    async def _settle(self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion) -> ProviderJob:
        api = self._api(job)
        status = (await api.statuses([str(job.provider_id)])).get(str(job.provider_id))
        if status is None or not status.ended:
            return await self._move(job, JobState.SUBMITTED)
        began = job.created_at.timestamp()
        bounds = {
            call_id_of(job.id, one.row, began): TokenBounds(one.input_tokens, one.output_tokens) for one in job.reserves
        }
        results = await api.results(status, bounds)
        if status.failed and not results:
            return await self._move(job, JobState.SETTLED, problem=f"refused by the provider: {status.problem}")
        contract = prompt.steps[-1].output
        lineage = self._lineage(prompt)
        settled = settle_lines(job, status, results, contract, lineage, self._clock().timestamp())
        return await self._booked(job, batch, settled, status, {})

    async def _booked(
        self, job: ProviderJob, batch: BatchRecord, settled: Settled, status: JobStatus | None, more: dict[str, Any]
    ) -> ProviderJob:
        """The job once it is booked and subscribers know of it; who dies between the two has told nobody."""
        booked = await asyncio.to_thread(self._book, job, batch, settled, status, more)
        await self.core.tell(settled.events)
        return booked

    def _book(
        self, job: ProviderJob, batch: BatchRecord, settled: Settled, status: JobStatus | None, more: dict[str, Any]
    ) -> ProviderJob:
        """One transaction: the ledger's lines, the rows' answers, and that the job is settled."""
        kept = batch.worker is not None
        values = {
            "cost_nano_usd": settled.cost_nano_usd,
            "lost_nano_usd": settled.lost_nano_usd,
            "overrun": settled.overrun,
            **({} if status is None else {"provider_state": status.state}),
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

    async def _close(self, job: ProviderJob) -> ProviderJob:
        """Give back what the job holds beyond its cost, and tidy up at the provider."""
        cost, lost = job.cost_nano_usd or 0, job.lost_nano_usd or 0
        over = job.overrun or cost + lost > job.reserve_nano_usd
        charge = "free" if job.cost_nano_usd is None else "overrun" if over else "settled"
        await self.core.release(job, charge, cost, lost)
        # Once it is closed nobody looks at it again: whoever dies before leaves no rows behind at the provider.
        await self._tidy_up(job)
        return await self._move(job, JobState.CLOSED)

    async def _tidy_up(self, job: ProviderJob) -> None:
        try:
            api = self._api(job)
            status = None
            if job.provider_id is not None:
                status = (await api.statuses([job.provider_id])).get(job.provider_id)
            await api.discard(job.id, job.file, status)
        except (ProviderError, ConfigurationError):
            pass  # files that stay cost little; nothing of ours waits for their removal

    async def _forget(self, job: ProviderJob) -> None:
        await self.core.release(job, "free", 0)
        await self._write(lambda session: provider_jobs.drop(session, job))

    def _read(self, job: ProviderJob) -> ProviderJob:
        with self._database.session(read_only=True) as session:
            return provider_jobs.get(session, job.batch_id, job.id)

    def _lineage(self, prompt: PromptVersion) -> JobLineage:
        return JobLineage(prompt.id, prompt.steps[-1].name, self._run_id)

    def _prompt_of(self, batch: BatchRecord) -> PromptVersion:
        with self._database.session(read_only=True) as session:
            return prompt_versions.get(session, batch.task, str(batch.prompt_version_id)).prompt

    def _api(self, job: ProviderJob) -> BatchApi:
        return self.core.api(job.model)

    async def _move(self, job: ProviderJob, state: JobState, **values: Any) -> ProviderJob:
        return await self._write(lambda session: provider_jobs.move(session, job, state, self._clock(), **values))

    async def _move_claimed(self, job: ProviderJob, batch: BatchRecord, state: JobState, **values: Any) -> ProviderJob:
        return await self._write_claimed(
            batch, lambda session: provider_jobs.move(session, job, state, self._clock(), **values)
        )

    async def _write_claimed(self, batch: BatchRecord, step: Callable[[Any], Any]) -> Any:
        """A step on the way to the provider, which only the worker that has the batch may take: its rows are asked."""

        def write(session: Any) -> Any:
            batches.require_claims(session, {batch.id: batch.claim})
            return step(session)

        return await self._write(write)

    async def _write(self, step: Callable[[Any], Any]) -> Any:
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


def _held_by_others(job: ProviderJob) -> str:
    return (
        f"a job of {job.rows:,} rows needs {job.reserve_nano_usd} nano-USD at worst, which a budget has not free "
        "beside what others hold"
    )
