"""Chunks through a provider's batch API: half price, nobody waits, every row once, whatever the job's end."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from batches.conftest import NOW, TARIFFS, Floor, label_of, number_in, task_of, write_csv
from servers.openai_batch_server import End, JobPlan, OpenAIBatchServer
from sqlalchemy import select, update

from domain.batch.provider_jobs import JobState
from domain.errors import ConfigurationError, ConflictError, InputError, StateUnavailableError
from domain.task import Task
from resources.batch_inference import steering
from resources.batch_inference.drain import may_go_on
from resources.batch_inference.due import due_tasks
from resources.batch_inference.provider_batches import by_hand
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.batch_inference.provider_batches.polling import poll
from resources.batch_inference.worker import WorkerTime, open_worker
from resources.database import schema
from resources.database.repositories import batches, provider_jobs, spending
from resources.database.session import open_database
from resources.database.tables import AttemptRow, CallRow, ProviderJobRow
from resources.llm import open_client
from resources.llm.batch_api import JobStatus
from resources.llm.endpoints import Endpoints
from resources.llm.events import AttemptFinished, CallFinished, Event
from resources.llm.providers.openai_batches import OpenAIBatches

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def provider() -> Iterator[OpenAIBatchServer]:
    with OpenAIBatchServer(lambda body: label_of(number_in(body)), TARIFFS) as running:
        yield running


@pytest.fixture
def hall(tmp_path: Path, provider: OpenAIBatchServer, upgraded_file: Path) -> Iterator[Floor]:
    """A floor whose provider has a batch API."""
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    database = open_database(f"sqlite:///{tmp_path / 'promptory.db'}")
    made = Floor(tmp_path, database, provider, task_of(), f"sqlite:///{tmp_path / 'promptory.db'}")
    made.promote()
    yield made
    database.dispose()


def add(hall: Floor, rows: int, **changes: Any):
    path = write_csv(hall.folder / "in.csv", range(rows))
    return hall.add(path, **{"how": "provider", "chunk_rows": 20, **changes}).record


def jobs_of(hall: Floor, batch_id: str):
    with hall.database.session(read_only=True) as session:
        return provider_jobs.of_batch(session, batch_id)


def run_to_the_end(hall: Floor, batch_id: str, **settings: Any):
    """As runs that are asked for whenever a job has ended; the states the batch was in."""
    seen = []
    for _ in range(20):
        record = hall.run(batch_id, hall.settings(**settings), grace_s=0.0)
        seen.append(record.state)
        if record.state != "waiting":
            return record, seen
    raise AssertionError(seen)


def charged(hall: Floor):
    with hall.database.session(read_only=True) as session:
        return spending.totals(session)


async def scopes_of(hall: Floor):
    async with open_client(hall.settings()) as client:
        return {one.scope: one for one in await client.budgets()}


def test_rows_are_handed_over_answered_once_and_at_half_price(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 35)
    first = hall.run(batch.id)
    assert first.state == "waiting", first.reason
    assert first.worker is None
    assert provider.invoice_nano_usd() == 0

    done, seen = run_to_the_end(hall, batch.id)
    rows = hall.results(batch.id)
    assert done.state == "done"
    assert seen.count("waiting") >= 1
    assert [row["value"] for row in rows] == [label_of(number) for number in range(35)]
    assert {row["status"] for row in rows} == {"ok"}
    assert provider.asked_in_jobs() == 35
    assert provider.requests == []
    assert sum(row["cost_nano_usd"] for row in rows) == provider.invoice_nano_usd() == charged(hall).spent_nano_usd
    assert charged(hall).attempts == 35
    assert [job.state for job in jobs_of(hall, batch.id)] == ["closed", "closed"]
    assert not provider.files, "what was uploaded and what came back is removed once it is settled"


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


def test_bodies_are_those_of_direct_calls(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 3)
    hall.run(batch.id)
    direct = hall.add(hall.folder / "in.csv", wish=None, how="direct", key=None).record
    hall.run(direct.id)
    assert provider.batch_bodies == sorted(provider.requests, key=number_in)


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_job_cut_short_is_settled_as_billed_and_the_rest_asked_directly(
    hall: Floor, provider: OpenAIBatchServer, end: End
):
    provider.plans = lambda _number: JobPlan(end=end, answered=12)
    batch = add(hall, 20)
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert [row["value"] for row in hall.results(batch.id)] == [label_of(number) for number in range(20)]
    assert sorted(hall.asked()) == list(range(12, 20))
    assert charged(hall).spent_nano_usd == provider.invoice_nano_usd()
    assert charged(hall).ambiguous_nano_usd == 0


def test_the_rest_can_go_into_another_job(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda number: JobPlan(end="expired", answered=12) if number == 0 else JobPlan()
    batch = add(hall, 20, rest="provider")
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert provider.requests == []
    assert [len(job.lines) for job in provider.jobs.values()] == [20, 8]
    assert charged(hall).spent_nano_usd == provider.invoice_nano_usd()


def test_lines_that_fail_are_free_and_a_lost_line_keeps_its_charge(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda _number: JobPlan(
        statuses={1: 400, 2: 500}, left_out=frozenset({4}), no_usage=frozenset({6})
    )
    batch = add(hall, 10, retry_rounds=0)
    done, _ = run_to_the_end(hall, batch.id)
    rows = hall.results(batch.id)
    assert done.state == "done"
    assert [row["row"] - 1 for row in rows if row["status"] != "ok"] == [1]
    assert rows[1]["status"] == "failed"
    assert sorted(hall.asked()) == [2, 4]
    assert [repeat["row"] for repeat in done.repeats] == [5]
    money = charged(hall)
    assert money.ambiguous_nano_usd > 0
    unknown = [line for line in provider.invoice if line.request_id in _ambiguous_lines(hall, batch.id)]
    assert money.spent_nano_usd == provider.invoice_nano_usd() - sum(line.nano_usd for line in unknown)
    assert len(unknown) == 2


def _ambiguous_lines(hall: Floor, batch_id: str) -> set[str]:
    with hall.database.session(read_only=True) as session:
        calls = session.scalars(select(AttemptRow.call_id).where(AttemptRow.charge == "ambiguous"))
        return {f"batch-{call_id}" for call_id in calls}


def test_subscribers_hear_of_every_call_of_a_job_once(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda _number: JobPlan(statuses={1: 400, 2: 500}, left_out=frozenset({4}))
    batch = add(hall, 10, retry_rounds=0)
    heard: list[Event] = []

    async def run() -> str:
        async with (
            open_client(hall.settings()) as client,
            open_worker(hall.database, hall.root, client, concurrency=8, grace_s=0.0) as worker,
        ):
            client.subscribe(heard.append)
            return (await worker.run(batch.id)).state

    states = [asyncio.run(run()) for _ in range(6)]
    assert states[-1] == "done"
    calls = [one for one in heard if isinstance(one, CallFinished)]
    attempts = [one for one in heard if isinstance(one, AttemptFinished)]
    of_job = [one for one in calls if one.context.purpose == "provider_batch"]
    assert sorted(int(one.context.row_id or 0) - 1 for one in of_job) == list(range(10))
    assert Counter((one.status, one.reason) for one in of_job) == {
        ("ok", None): 7, ("error", "invalid_request"): 1, ("error", "server"): 1, ("lost", "no_result"): 1
    }  # fmt: skip
    assert {one.context.batch_id for one in of_job} == {batch.id}
    direct = [one for one in calls if one.context.purpose == "batch"]
    assert sorted(int(one.context.row_id or 0) - 1 for one in direct) == [2, 4]
    told = {one.call_id: one.cost_nano_usd for one in attempts}
    assert len(told) == len(attempts) == len(calls) == 12
    with hall.database.session(read_only=True) as session:
        assert {one.call_id: one.cost_nano_usd for one in session.scalars(select(AttemptRow))} == told
        assert {one.call_id: one.cost_nano_usd for one in session.scalars(select(CallRow))} == told
    rows = {row["row"] - 1: row for row in hall.results(batch.id)}
    asked_again = {one.call_id for one in direct}
    assert {call for number in (2, 4) for call in rows[number]["call_ids"]} == asked_again


def test_a_refused_job_costs_nothing_and_waits_for_a_person(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda number: JobPlan(end="failed") if number == 0 else JobPlan()
    batch = add(hall, 10)
    paused, _ = run_to_the_end(hall, batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    assert "model_not_found" in (paused.reason or "")
    assert charged(hall).attempts == 0
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert provider.requests == []


def test_a_budget_holds_a_job_until_it_is_settled(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 40, chunk_rows=20)
    hall.run(batch.id)
    job = jobs_of(hall, batch.id)[0]
    cap = str(1.5 * job.reserve_nano_usd / 1e9)
    for one in jobs_of(hall, batch.id):
        assert one.reserve_nano_usd * 2 == one.direct_nano_usd
    other = hall.add(write_csv(hall.folder / "b.csv", range(100, 140)), how="provider", chunk_rows=20).record
    paused = hall.run(other.id, hall.settings(budgets={"task:crates": cap}))
    assert (paused.state, paused.pause_kind) == ("paused", "budget")
    assert jobs_of(hall, other.id) == []
    assert provider.asked_in_jobs() == 40


def test_a_lost_state_store_gets_its_holds_back(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 20)
    hall.run(batch.id)
    (job,) = jobs_of(hall, batch.id)
    for path in hall.folder.glob("state.db*"):
        path.unlink()

    held = asyncio.run(scopes_of(hall))
    assert held["task:crates"].reserved_nano_usd == job.reserve_nano_usd
    done, _ = run_to_the_end(hall, batch.id)
    after = asyncio.run(scopes_of(hall))["task:crates"]
    assert done.state == "done"
    assert (after.reserved_nano_usd, after.settled_nano_usd) == (0, provider.invoice_nano_usd())


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


class Clock:
    """The time, as far on as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


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


def test_a_cancelled_batch_cancels_its_job_and_books_what_was_billed(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda _number: JobPlan(answered=4)
    batch = add(hall, 10)
    hall.run(batch.id)
    hall.run(batch.id)
    steering.cancel(hall.database, batch.id, NOW)

    async def drain() -> None:
        async with hall.worker() as worker:
            await worker.settle_cancelled("crates")

    for _ in range(4):
        asyncio.run(drain())
    (job,) = jobs_of(hall, batch.id)
    assert (job.state, job.provider_state) == ("closed", "cancelled")
    assert charged(hall).spent_nano_usd == provider.invoice_nano_usd() > 0
    assert len(provider.invoice) == 4
    assert asyncio.run(scopes_of(hall))["task:crates"].reserved_nano_usd == 0


def test_limits_of_a_job_split_a_chunk(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 20)
    endpoint = {**provider.endpoint, "options": {"batch_requests": 8}}
    hall.run(batch.id, hall.settings(endpoints={"openai": endpoint}))
    assert [len(job.lines) for job in provider.jobs.values()] == [8, 8, 4]
    assert run_to_the_end(hall, batch.id)[0].state == "done"
    assert len(provider.invoice) == 20


def test_an_endpoint_without_a_batch_api_is_told_at_once(hall: Floor, provider: OpenAIBatchServer):
    provider.refuse = None
    provider.files_are_missing = True
    batch = add(hall, 5)
    paused = hall.run(batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    assert "no batch API" in (paused.reason or "")
    with pytest.raises(ConfigurationError, match="no batch API"):
        Endpoints({}, None).batch_api("offline/nearest")


def test_a_key_that_is_refused_costs_nothing(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 5)
    wrong = {**provider.endpoint, "api_key": "wrong"}
    paused = hall.run(batch.id, hall.settings(endpoints={"openai": wrong}))
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert provider.asked_in_jobs() == 5


def test_on_postgresql_and_redis_too(tmp_path: Path, provider: OpenAIBatchServer, postgres_url: str, redis_url: str):
    database = open_database(postgres_url)
    schema.upgrade(database)
    floor = Floor(tmp_path, database, provider, task_of(), postgres_url)
    floor.promote()
    provider.plans = lambda number: JobPlan(end="expired", answered=9) if number == 0 else JobPlan()
    batch = add(floor, 30)
    shared = {"state": redis_url, "budgets": {"task:crates": "1"}}
    assert floor.run(batch.id, floor.settings(**shared)).state == "waiting"

    async def scope():
        async with open_client(floor.settings(**shared)) as client:
            return next(one for one in await client.budgets() if one.scope == "task:crates")

    held = asyncio.run(scope())
    assert held.reserved_nano_usd == sum(job.reserve_nano_usd for job in jobs_of(floor, batch.id)) > 0
    done, _ = run_to_the_end(floor, batch.id, **shared)
    after = asyncio.run(scope())
    database.dispose()
    assert done.state == "done"
    assert len(floor.asked()) == 11
    assert (after.reserved_nano_usd, after.settled_nano_usd) == (0, provider.invoice_nano_usd())


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


def test_a_spent_budget_does_not_keep_a_finished_job_from_being_settled(hall: Floor, provider: OpenAIBatchServer):
    first = add(hall, 20)
    hall.run(first.id)
    (job,) = jobs_of(hall, first.id)
    cap = {"task:crates": str(1.5 * job.reserve_nano_usd / 1e9)}
    second = hall.add(write_csv(hall.folder / "b.csv", range(100, 120)), how="provider", chunk_rows=20).record
    assert hall.run(second.id, hall.settings(budgets=cap)).pause_kind == "budget"
    now = datetime.now(UTC)
    assert due_tasks(hall.database, hall.root / "none", ["crates"], now) == []
    for _ in range(4):
        hall_now = datetime.now(UTC) + timedelta(hours=1, minutes=-1)
        asyncio.run(_poll_once(hall, hall_now))
    (due,) = due_tasks(hall.database, hall.root / "none", ["crates"], now)
    assert (due.task, due.batches) == ("crates", 1)


async def _poll_once(hall: Floor, now: datetime) -> None:
    endpoints = Endpoints(hall.settings().endpoints, None)
    with hall.database.session() as session:
        session.execute(update(ProviderJobRow).values(seen_at=None, changed_at=NOW))
    await poll(hall.database, endpoints, now)
    await endpoints.close()


def two_steps() -> Task:
    prompt = task_of().prompt.model_dump(mode="json")
    (step,) = prompt["steps"]
    asking = {**step, "name": "look", "output": {"kind": "text"}}
    return task_of(prompt={**prompt, "steps": [asking, {**step, "output_prompt": "Seen: {{ look }}"}]})


def test_a_prompt_of_several_steps_is_refused_before_its_rows_are_read(hall: Floor, provider: OpenAIBatchServer):
    hall.promote(two_steps())
    with pytest.raises(ConfigurationError, match=r"crates.*2 steps") as caught:
        add(hall, 10)
    assert (caught.value.field, caught.value.mend) == ("batch.how", "ask row by row: `how: direct`.")
    with hall.database.session(read_only=True) as session:
        assert batches.list_batches(session) == []
    assert provider.log == []


def test_one_that_came_into_production_later_pauses_for_a_person(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 10)
    hall.promote(two_steps())
    paused = hall.run(batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    assert "2 steps" in (paused.reason or "")
    assert provider.log == []
