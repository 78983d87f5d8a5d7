"""What rows in a provider's jobs cost: billed once, at half price, held while they run, whatever the job's end."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from batches.conftest import NOW, Floor, label_of, task_of, write_csv
from batches.provider_steps import add, charged, jobs_of, poll_once, run_to_the_end, scopes_of
from servers.openai_batch_server import End, JobPlan, OpenAIBatchServer
from sqlalchemy import select

from resources.batch_inference import steering
from resources.batch_inference.due import due_tasks
from resources.batch_inference.worker import open_worker
from resources.database import schema
from resources.database.session import open_database
from resources.database.tables import AttemptRow, CallRow
from resources.llm import open_client
from resources.llm.events import AttemptFinished, CallFinished, Event

pytestmark = pytest.mark.filterwarnings("error")


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


def test_cancelling_a_batch_asks_for_the_run_that_cancels_its_job(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda _number: JobPlan(stays="in_progress")
    batch = add(hall, 10)
    hall.run(batch.id)
    now = datetime.now(UTC)

    def due(after: timedelta = timedelta()) -> set[str]:
        return {one.key for one in due_tasks(hall.database, hall.root / "none", ["crates"], now + after)}

    assert due() == set()
    steering.cancel(hall.database, batch.id, NOW)
    key = due()
    assert len(key) == 1
    assert due(timedelta(minutes=4)) == key, "one run, and not one per look"
    assert due(timedelta(minutes=16)) != key, "the provider may not have heard of it"

    async def drain() -> None:
        async with hall.worker() as worker:
            await worker.settle_cancelled("crates")

    asyncio.run(drain())
    assert "POST /v1/batches/batch_000000/cancel" in provider.log
    assert due() == set(), "the provider ends it now"


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
        asyncio.run(poll_once(hall, hall_now))
    (due,) = due_tasks(hall.database, hall.root / "none", ["crates"], now)
    assert (due.task, due.batches) == ("crates", 1)
