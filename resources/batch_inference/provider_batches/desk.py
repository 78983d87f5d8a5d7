"""Leading a provider's job on, one durable step at a time, from any state that a crash may have left it in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from upath import UPath

from domain.batch.provider_jobs import GRACE_S, JobState, call_id_of
from domain.errors import ConfigurationError, ConflictError, ProviderError, UnansweredError
from domain.prompt import PromptVersion
from resources.batch_inference.provider_batches.booking import Bookkeeper, Told, nobody
from resources.batch_inference.provider_batches.moves import JobMoves, note_status
from resources.batch_inference.provider_batches.requests import BatchRequests
from resources.batch_inference.snapshot import NAME, Snapshot
from resources.database.repositories import prompt_versions, provider_jobs
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.llm.batch_api import BatchApi, LookupUnsupportedError
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
        self._moves = JobMoves(database, clock)
        self._books = Bookkeeper(database, core, self._moves, clock, run_id)
        self._grace = timedelta(seconds=grace_s)

    async def submit(self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion) -> ProviderJob:
        """Write a new job down, reserve its worst case, upload it and have the provider create it.

        Raises:
            ConflictError: another worker has the batch.
            UnansweredError: a budget has no room for it; nothing is left of it.
            ProviderError: the provider refused, or did not answer; the next one who has the batch leads it on.
            StateUnavailableError, DatabaseUnavailableError: likewise.
        """
        await self._moves.add(job, batch)
        verdict = await self.core.hold(job)
        if not isinstance(verdict, Admitted):
            await self._moves.drop(job)
            detail = verdict.detail if isinstance(verdict, Refused) else _held_by_others(job)
            raise UnansweredError(detail, reason=BUDGET_EXHAUSTED)
        try:
            held = await self._moves.move_towards(job, batch, JobState.HELD)
        except ConflictError:
            await self.core.release(job, "free", 0)  # another worker has the batch, and has dropped what was planned
            raise
        return await self._send(held, batch, prompt, began_before=False)

    async def lead_on(
        self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion, told: Told = nobody
    ) -> ProviderJob | None:
        """The job after everything that can be done about it now; None where nothing was sent, so it is forgotten.

        Args:
            told: hears of every answer that the job brought.

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
            job = await self._books.settle(job, batch, prompt, told)
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
            job = await self._moves.move(job, JobState.SETTLED, file=file, problem="cancelled before it was sent")
        elif job.state == JobState.CREATING:
            job = await self._look_up(job, batch, create=False)
        if job.state == JobState.SUBMITTED and not job.is_being_cancelled:
            await self._api(job).cancel(str(job.provider_id))
        if job.state == JobState.SUBMITTED:
            job = await self.look_at(job)
        if job.state == JobState.ENDED:
            job = await self._books.settle(job, batch, await asyncio.to_thread(self._prompt_of, batch))
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
        """Give a job up that was put aside, or whose results cannot be fetched.

        Every request keeps its charge as ambiguous, and its row may be asked again.

        Raises:
            ConflictError: somebody else has moved it.
            StateUnavailableError, DatabaseUnavailableError: it can be done again.
        """
        prompt = await asyncio.to_thread(self._prompt_of, batch)
        return await self._close(await self._books.give_up(job, batch, prompt))

    async def _send(
        self, job: ProviderJob, batch: BatchRecord, prompt: PromptVersion, *, began_before: bool
    ) -> ProviderJob:
        api = self._api(job)
        file = await api.find_file(job.id) if began_before else None
        if file is None:
            file = await api.upload(job.id, await self._file(job, batch, prompt))
        return await self._create(await self._moves.move_towards(job, batch, JobState.CREATING, file=file))

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
                await self._moves.move(job, JobState.HELD)
            elif error.status_code is not None and error.status_code < 500 and not error.rule.outcome_unknown:
                # Refused for certain: there is no such job, and what it holds is free.
                job = await self._moves.move(job, JobState.SETTLED, problem=error.problem)
                await self._close(job)
            raise
        return await self._moves.move(job, JobState.SUBMITTED, provider_id=status.id, provider_state=status.state)

    async def _look_up(self, job: ProviderJob, batch: BatchRecord, *, create: bool = True) -> ProviderJob:
        """Whether the provider has a job whose creation was cut off; if it has none, for certain, create it."""
        if self._clock() - job.changed_at < self._grace:
            return job
        try:
            found = await self._api(job).find(job.id, job.created_at.timestamp())
        except LookupUnsupportedError as error:
            return await self._moves.move(job, JobState.QUARANTINED, problem=error.problem)
        if found is not None:
            return await self._moves.move(job, JobState.SUBMITTED, provider_id=found.id, provider_state=found.state)
        if not create:
            return await self._moves.move(job, JobState.SETTLED, problem="cancelled before it was created")
        # Moving it first keeps out whoever else may think that it is theirs.
        return await self._create(await self._moves.move_towards(job, batch, JobState.CREATING))

    async def _close(self, job: ProviderJob) -> ProviderJob:
        """Give back what the job holds beyond its cost, and tidy up at the provider."""
        cost, lost = job.cost_nano_usd or 0, job.lost_nano_usd or 0
        over = job.overrun or cost + lost > job.reserve_nano_usd
        charge = "free" if job.cost_nano_usd is None else "overrun" if over else "settled"
        await self.core.release(job, charge, cost, lost)
        # Once it is closed nobody looks at it again: whoever dies before leaves no rows behind at the provider.
        await self._tidy_up(job)
        return await self._moves.move(job, JobState.CLOSED)

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
        await self._moves.drop(job)

    def _read(self, job: ProviderJob) -> ProviderJob:
        with self._database.session(read_only=True) as session:
            return provider_jobs.get(session, job.batch_id, job.id)

    def _prompt_of(self, batch: BatchRecord) -> PromptVersion:
        with self._database.session(read_only=True) as session:
            return prompt_versions.get(session, batch.task, str(batch.prompt_version_id)).prompt

    def _api(self, job: ProviderJob) -> BatchApi:
        return self.core.api(job.model)


def _held_by_others(job: ProviderJob) -> str:
    return (
        f"a job of {job.rows:,} rows needs {job.reserve_nano_usd} nano-USD at worst, which a budget has not free "
        "beside what others hold"
    )
