"""Deaths and silence around a provider's jobs: nothing is handed over twice, nobody waits, nothing is left behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from batches.conftest import NOW, Floor
from batches.provider_steps import Clock, add, charged, jobs_of, run_to_the_end, scopes_of
from servers.openai_batch_server import OpenAIBatchServer
from sqlalchemy import update

from domain.batch.provider_jobs import JobState
from domain.errors import ConflictError, InputError, StateUnavailableError
from resources.batch_inference.drain import may_go_on
from resources.batch_inference.due import due_tasks
from resources.batch_inference.provider_batches import by_hand
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.batch_inference.provider_batches.polling import poll
from resources.batch_inference.worker import WorkerTime
from resources.database.repositories import batches, provider_jobs
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.tables import BatchRow
from resources.llm import open_client
from resources.llm.batch_api import JobStatus
from resources.llm.endpoints import Endpoints
from resources.llm.providers.openai_batches import OpenAIBatches

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("kept", [0, 1])
def test_who_dies_while_tidying_up_leaves_no_rows_at_the_provider(
    hall: Floor, provider: OpenAIBatchServer, monkeypatch: pytest.MonkeyPatch, kept: int
):
    batch = add(hall, 3)
    hall.run(batch.id)
    discard, deaths = OpenAIBatches.discard, iter([None])

    async def die_once(self: OpenAIBatches, job: str, file: str | None, status: JobStatus | None) -> None:
        if next(deaths, "") is None:
            await discard(self, job, file if kept else None, None)
            raise StateUnavailableError("as if killed")
        await discard(self, job, file, status)

    monkeypatch.setattr(OpenAIBatches, "discard", die_once)
    with pytest.raises(StateUnavailableError):
        run_to_the_end(hall, batch.id)
    assert len(provider.files) == 2 - kept
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert not provider.files
    assert provider.asked_in_jobs() == 3


def test_nobody_waits_and_a_poll_wakes_the_batch(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 60, poll_s=30)
    waiting = hall.run(batch.id)

    async def look(after_s: float):
        endpoints = Endpoints(hall.settings().endpoints, None)
        now = waiting.lease_until or jobs_of(hall, batch.id)[-1].changed_at
        polled = await poll(hall.database, endpoints, now + timedelta(seconds=after_s))
        await endpoints.close()
        return polled

    before = len(provider.log)
    assert asyncio.run(look(5)).looked_at == 0
    assert len(provider.log) == before
    ended = [asyncio.run(look(100 * step)).ended for step in range(1, 7)]
    assert sum(ended) == 3
    assert len(provider.log) - before <= 12
    with hall.database.session(read_only=True) as session:
        ready = provider_jobs.ready_batches(session, NOW)
        record = batches.get(session, batch.id)
    assert may_go_on(record, NOW, ready)
    assert not may_go_on(record, NOW)
    assert hall.run(batch.id).state == "done"
    assert jobs_of(hall, batch.id)[0].state == JobState.CLOSED


def cut_creation(hall: Floor, provider: OpenAIBatchServer, how: str):
    """A batch whose worker heard nothing it could use of the request that creates its job."""
    setattr(provider, how, "POST /v1/batches")
    batch = add(hall, 10)
    paused = hall.run(batch.id)
    setattr(provider, how, None)
    assert (paused.state, paused.pause_kind) == ("paused", "provider")
    assert [job.state for job in jobs_of(hall, batch.id)] == ["creating"]
    return batch


@pytest.mark.parametrize("how", ["cut", "garble", "refuse"])
def test_a_creation_nobody_heard_of_is_looked_up_and_not_repeated(hall: Floor, provider: OpenAIBatchServer, how: str):
    batch = cut_creation(hall, provider, how)
    clock = Clock()
    assert hall.run(batch.id, timing=WorkerTime(clock=clock)).state == "waiting"
    assert len(provider.jobs) == int(how != "refuse"), (
        "as long as it may be under way, nobody looks and nobody repeats it"
    )
    clock.ahead = timedelta(seconds=61)
    hall.run(batch.id, timing=WorkerTime(clock=clock))
    assert len(provider.jobs) == 1
    assert run_to_the_end(hall, batch.id)[0].state == "done"
    assert provider.asked_in_jobs() == 10
    assert provider.requests == []


@pytest.mark.parametrize("exists", [True, False])
def test_a_job_that_cannot_be_looked_up_is_put_aside_for_a_person(
    hall: Floor, provider: OpenAIBatchServer, exists: bool
):
    batch = cut_creation(hall, provider, "cut" if exists else "refuse")
    provider.lists_jobs = False
    aside = hall.run(batch.id, grace_s=0.0)
    (job,) = jobs_of(hall, batch.id)
    assert (aside.state, aside.pause_kind, job.state) == ("paused", "quarantine", "quarantined")
    assert not may_go_on(aside, NOW, {batch.id})

    async def decide() -> None:
        async with open_client(hall.settings()) as client:
            desk = JobDesk(hall.database, hall.root, client.provider_batches, Clock())
            if exists:
                with pytest.raises(InputError, match="no job"):
                    await by_hand.adopt(hall.database, desk, batch.id, job.id[:8], "batch_999", NOW)
                await by_hand.adopt(hall.database, desk, batch.id, job.id[:8], "batch_000000", Clock()())
            else:
                await by_hand.write_off(hall.database, desk, batch.id, job.id[:8], Clock()())

    asyncio.run(decide())
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    money = charged(hall)
    assert money.spent_nano_usd == provider.invoice_nano_usd()
    assert money.ambiguous_nano_usd == (0 if exists else job.reserve_nano_usd)
    assert len(done.repeats) == (0 if exists else 10)
    assert len(provider.requests) == (0 if exists else 10)


def test_a_worker_that_lost_its_batch_holds_nothing(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 5)

    async def work() -> None:
        async with open_client(hall.settings()) as client, hall.worker() as worker:
            desk = worker.desk
            hold = desk.core.hold

            async def taken_over(job):
                verdict = await hold(job)
                with hall.database.session() as session:
                    provider_jobs.drop(session, job)
                return verdict

            desk.core.hold = taken_over
            with pytest.raises(ConflictError):
                await worker.run(batch.id)
            assert {one.scope: one.reserved_nano_usd for one in await client.budgets()}["task:crates"] == 0

    asyncio.run(work())
    assert provider.log == []


@pytest.mark.parametrize("before", ["add", "create"])
def test_a_worker_that_stood_still_hands_nothing_over(
    hall: Floor, provider: OpenAIBatchServer, monkeypatch: pytest.MonkeyPatch, before: str
):
    """Its batch is answered to the end by another one, before it writes its job down or has it created."""
    batch = add(hall, 10, rest="provider")
    stood_still = []

    def others_take_it() -> None:
        stood_still.append(1)
        with hall.database.session() as session:
            batches.change_claimed(session, batch.id, 1, lease_until=NOW)
        assert run_to_the_end(hall, batch.id)[0].state == "done"

    if before == "add":
        submit = JobDesk.submit

        async def submit_late(*arguments: Any) -> ProviderJob:
            if not stood_still:
                await asyncio.to_thread(others_take_it)
            return await submit(*arguments)

        monkeypatch.setattr(JobDesk, "submit", submit_late)
    else:
        upload = OpenAIBatches.upload

        async def upload_late(self: OpenAIBatches, job: str, data: bytes) -> str:
            if not stood_still:
                await asyncio.to_thread(others_take_it)
            return await upload(self, job, data)

        monkeypatch.setattr(OpenAIBatches, "upload", upload_late)
    with pytest.raises(ConflictError, match="taken over"):
        hall.run(batch.id)
    assert provider.asked_in_jobs() == 10
    assert charged(hall).spent_nano_usd == provider.invoice_nano_usd()
    assert {job.state for job in jobs_of(hall, batch.id)} == {"closed"}


def test_a_job_that_is_left_when_its_batch_is_done_is_ended_and_booked(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 10)
    hall.run(batch.id)
    with hall.database.session() as session:
        session.execute(update(BatchRow).values(state="done", finished_at=NOW))
    (due,) = due_tasks(hall.database, hall.root / "none", ["crates"], Clock()())
    assert due.task == "crates"

    async def settle() -> int:
        async with hall.worker() as worker:
            await worker.settle_cancelled("crates")
        return (await scopes_of(hall))["task:crates"].reserved_nano_usd

    held = [asyncio.run(settle()) for _ in range(4)]
    assert held[0] > 0
    assert held[-1] == 0
    assert [job.state for job in jobs_of(hall, batch.id)] == ["closed"]
    assert charged(hall).spent_nano_usd == provider.invoice_nano_usd()
