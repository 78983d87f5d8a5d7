"""What a person asks of a worker is done, whatever becomes of the worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from batches.conftest import NOW, Floor, write_csv
from batches.provider_steps import add
from servers.openai_batch_server import OpenAIBatchServer

from domain.errors import ConflictError
from resources.batch_inference import steering
from resources.batch_inference.leases import Leases
from resources.batch_inference.marks import WorkerMark
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.batch_inference.stopping import Stop
from resources.database.repositories import batches
from resources.database.repositories.provider_jobs import ProviderJob
from resources.llm.state.process_mark import this_process

STEPS = {"pause": steering.pause, "cancel": steering.cancel}
ENDS = [("pause", ("paused", "person", "paused by a person")), ("cancel", ("cancelled", None, "cancelled by a person"))]


@pytest.mark.parametrize(("asked", "end"), ENDS)
async def test_a_worker_that_stops_for_another_reason_obeys(
    floor: Floor, tmp_path: Path, asked: str, end: tuple[str, str | None, str]
):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(30))).record
    async with floor.worker(lease_s=600) as worker:  # no heartbeat comes in time to tell it
        with floor.held():
            running = asyncio.create_task(worker.run(batch.id))
            await floor.first_request()
            worker.interrupt("the machine goes down")
            assert (await asyncio.to_thread(STEPS[asked], floor.database, batch.id, NOW)).asked
        rested = await running
    assert (rested.state, rested.pause_kind, rested.reason) == end
    assert rested.request is None
    assert len(floor.asked()) < 30


@pytest.mark.parametrize(("asked", "end"), ENDS)
def test_a_worker_that_dies_leaves_the_wish_to_the_next(
    floor: Floor, tmp_path: Path, asked: str, end: tuple[str, str | None, str]
):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(5))).record
    here = this_process()
    Leases(floor.database, WorkerMark(replace(here, started=here.started + 1), "dying"), lambda: NOW).take(
        batch.id, Stop()
    )
    with floor.database.session() as session:
        assert batches.ask(session, batches.get(session, batch.id), asked)
    rested = floor.run(batch.id)
    assert (rested.state, rested.pause_kind, rested.reason) == end
    assert (rested.worker, rested.request) == (None, None)
    assert floor.asked() == []


@pytest.mark.parametrize("is_dead", [False, True], ids=["worker-alive", "worker-dead"])
def test_a_pause_takes_no_cancel_back(floor: Floor, tmp_path: Path, is_dead: bool):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(5))).record
    Leases(floor.database, WorkerMark(this_process(), "deaf"), lambda: NOW).take(batch.id, Stop())
    assert steering.pause(floor.database, batch.id, NOW).asked
    assert steering.cancel(floor.database, batch.id, NOW).asked
    later = NOW + timedelta(days=1) if is_dead else NOW

    with pytest.raises(ConflictError, match="is being cancelled"):
        steering.pause(floor.database, batch.id, later)

    assert steering.cancel(floor.database, batch.id, later).record.state == ("cancelled" if is_dead else "running")


def test_a_batch_that_was_handed_over_meanwhile_is_cancelled(
    hall: Floor, provider: OpenAIBatchServer, monkeypatch: pytest.MonkeyPatch
):
    batch = add(hall, 5)
    submit = JobDesk.submit

    async def cancelled_meanwhile(*arguments: Any) -> ProviderJob:
        await asyncio.to_thread(steering.cancel, hall.database, batch.id, NOW)
        return await submit(*arguments)

    monkeypatch.setattr(JobDesk, "submit", cancelled_meanwhile)
    assert hall.run(batch.id).state == "cancelled"
    assert len(provider.jobs) == 1
