"""Jobs that need a person: put before one soon, decided in any state of their batch."""

from __future__ import annotations

import asyncio

import pytest
from batches.conftest import NOW, Floor
from batches.provider_steps import Clock, add, charged, jobs_of, poll_once, run_to_the_end, scopes_of
from servers.openai_batch_server import JobPlan, OpenAIBatchServer

from domain.errors import ConflictError
from resources.batch_inference import steering
from resources.batch_inference.due import due_tasks
from resources.batch_inference.leases import Leases
from resources.batch_inference.marks import WorkerMark
from resources.batch_inference.provider_batches import by_hand
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.batch_inference.stopping import Stop
from resources.database.repositories.batches import BatchRecord
from resources.llm import open_client

pytestmark = pytest.mark.filterwarnings("error")


def is_due(hall: Floor) -> bool:
    return bool(due_tasks(hall.database, hall.root / "none", ["crates"], Clock()()))


def decide(hall: Floor, batch: str, provider_id: str | None = None) -> None:
    """Adopt the provider's job of that id, or write ours off."""

    async def work() -> None:
        async with open_client(hall.settings()) as client:
            desk, now = JobDesk(hall.database, hall.root, client.provider_batches, Clock()), Clock()()
            (job,) = jobs_of(hall, batch)
            if provider_id is None:
                await by_hand.write_off(hall.database, desk, batch, job.id, now)
            else:
                await by_hand.adopt(hall.database, desk, batch, job.id, provider_id, now)

    asyncio.run(work())


def settle(hall: Floor) -> int:
    """As a run does that settles what batches left behind at their end; what is held afterwards."""

    async def work() -> int:
        async with hall.worker() as worker:
            await worker.settle_cancelled("crates")
        return (await scopes_of(hall))["task:crates"].reserved_nano_usd

    return asyncio.run(work())


@pytest.fixture
def aside(hall: Floor, provider: OpenAIBatchServer) -> BatchRecord:
    """A batch that waits for a job which the provider has denied: the sensor has just put it aside."""
    batch = add(hall, 10)
    hall.run(batch.id)
    known, provider.jobs = provider.jobs, {}
    polled = asyncio.run(poll_once(hall, Clock()()))
    provider.jobs = known
    assert [job.state for job in jobs_of(hall, batch.id)] == ["quarantined"]
    assert polled.tasks == {"crates"}
    return batch


def test_a_job_that_the_sensor_put_aside_is_put_before_a_person(hall: Floor, aside: BatchRecord):
    assert is_due(hall)
    paused = hall.run(aside.id)
    assert (paused.state, paused.pause_kind) == ("paused", "quarantine")
    assert not is_due(hall)
    decide(hall, aside.id)
    steering.resume(hall.database, aside.id, NOW)
    assert run_to_the_end(hall, aside.id)[0].state == "done"


def test_a_person_may_be_faster_than_the_worker(hall: Floor, aside: BatchRecord):
    with pytest.raises(ConflictError, match="is waiting, not paused"):
        steering.resume(hall.database, aside.id, NOW)
    decide(hall, aside.id)
    assert steering.resume(hall.database, aside.id, NOW).record.state == "pending"
    assert is_due(hall)
    assert run_to_the_end(hall, aside.id)[0].state == "done"


@pytest.mark.parametrize("provider_id", ["batch_000000", None])
def test_what_was_put_aside_is_decided_though_its_batch_was_cancelled(
    hall: Floor, provider: OpenAIBatchServer, aside: BatchRecord, provider_id: str | None
):
    provider.plans = lambda _number: JobPlan(answered=4)
    steering.cancel(hall.database, aside.id, NOW)
    assert not is_due(hall), "no run can do anything about it"
    (job,) = jobs_of(hall, aside.id)
    decide(hall, aside.id, provider_id)
    assert is_due(hall) == (provider_id is not None)
    assert [settle(hall) for _ in range(3)][-1] == 0
    assert [job.state for job in jobs_of(hall, aside.id)] == ["closed"]
    money = charged(hall)
    assert money.spent_nano_usd == provider.invoice_nano_usd()
    assert money.ambiguous_nano_usd == (0 if provider_id else job.reserve_nano_usd)


def test_a_living_workers_batch_is_left_to_it(hall: Floor, aside: BatchRecord):
    Leases(hall.database, WorkerMark.new(), Clock()).take(aside.id, Stop())
    with pytest.raises(ConflictError, match="being worked on"):
        decide(hall, aside.id)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_job_whose_results_cannot_be_fetched_can_be_written_off(
    hall: Floor, provider: OpenAIBatchServer, is_cancelled: bool
):
    batch = add(hall, 10)
    hall.run(batch.id)
    (theirs,) = provider.jobs.values()
    while theirs.values["status"] != "completed":
        hall.run(batch.id)
    with pytest.raises(ConflictError, match="is submitted, not put aside"):
        decide(hall, batch.id)
    del provider.files[theirs.values["output_file_id"]]
    if is_cancelled:
        steering.cancel(hall.database, batch.id, NOW)
        settle(hall)
    else:
        paused = hall.run(batch.id)
        assert (paused.state, paused.pause_kind) == ("paused", "refused")
    (job,) = jobs_of(hall, batch.id)
    assert job.state == "ended"
    assert "404" in (job.problem or "")

    decide(hall, batch.id)
    assert settle(hall) == 0
    assert charged(hall).ambiguous_nano_usd == job.reserve_nano_usd
    if not is_cancelled:
        steering.resume(hall.database, batch.id, NOW)
        assert run_to_the_end(hall, batch.id)[0].state == "done"
        assert len(provider.requests) == 10


def test_results_that_come_after_all_are_booked(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 10)
    provider.refuse = "GET /v1/files/file-000001/content"
    paused, _ = run_to_the_end(hall, batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "provider")
    provider.refuse = None
    assert run_to_the_end(hall, batch.id)[0].state == "done"
    assert [(job.state, job.problem) for job in jobs_of(hall, batch.id)] == [("closed", None)]
    assert charged(hall).spent_nano_usd == provider.invoice_nano_usd()
