"""Workers that die or stand still, others that have a chunk, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from batches.conftest import NOW, Floor, label_of, task_of, write_csv
from servers.openai_server import Fault, OpenAIServer
from upath import UPath

from domain.batch.outcome import RowOutcome
from domain.batch.states import ChunkState, RowStatus
from domain.errors import ConflictError
from resources.batch_inference import steering
from resources.batch_inference.answering import ChunkEnd, ChunkWork
from resources.batch_inference.chunks import Chunks
from resources.batch_inference.keeping import AnswerKeeper, Kept
from resources.batch_inference.leases import Leases
from resources.batch_inference.marks import WorkerMark
from resources.batch_inference.outcome_text import encode
from resources.batch_inference.repeats import LOOK_AGAIN_S
from resources.batch_inference.signals import stop_on_signals
from resources.batch_inference.stopping import Stop
from resources.batch_inference.worker import WorkerTime, open_worker
from resources.database.repositories import batch_chunks, batches
from resources.database.session import open_database
from resources.llm import CallContext, open_client
from resources.llm.records import AttemptFacts, attempt_id_of, lineage_of, lost_record
from resources.llm.state import open_state_store
from resources.llm.state.process_mark import ProcessMark, this_process
from resources.llm.state.protocol import Intent, StoreConfig


@pytest.fixture(params=["sqlite", "postgresql"])
def any_floor(
    request: pytest.FixtureRequest, tmp_path: Path, server: OpenAIServer, upgraded_file: Path
) -> Iterator[Floor]:
    """A floor on either database."""
    if request.param == "postgresql":
        url = request.getfixturevalue("upgraded_postgres_url")
    else:
        shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
        url = f"sqlite:///{tmp_path / 'promptory.db'}"
    database = open_database(url)
    made = Floor(tmp_path, database, server, task_of(), url)
    made.promote()
    yield made
    database.dispose()


async def test_a_worker_that_stood_still_can_write_nothing_any_more(any_floor: Floor, tmp_path: Path):
    floor = any_floor
    batch = floor.add(write_csv(tmp_path / "in.csv", range(25))).record
    slow = Leases(floor.database, WorkerMark.new(), lambda: NOW)
    old = slow.take(batch.id, Stop())
    with pytest.raises(ConflictError, match="being worked on"):
        Leases(floor.database, WorkerMark.new(), lambda: NOW + timedelta(seconds=20)).take(batch.id, Stop())
    new = Leases(floor.database, WorkerMark.new(), lambda: NOW + timedelta(seconds=31)).take(batch.id, Stop())
    assert new.claim == old.claim + 1

    keeper = AnswerKeeper(floor.database)
    outcome = encode(RowOutcome(RowStatus.OK, text="attic", value="attic"))
    with pytest.raises(ConflictError, match="taken over"):
        await keeper.keep(Kept(batch.id, old.claim, 1, outcome))
    await keeper.keep(Kept(batch.id, new.claim, 1, outcome))
    with pytest.raises(ConflictError, match="taken over"), floor.database.session() as session:
        batches.change_claimed(session, batch.id, old.claim, state="done")


async def test_a_worker_that_lost_its_batch_writes_no_part(any_floor: Floor, tmp_path: Path):
    floor = any_floor
    batch = floor.add(write_csv(tmp_path / "in.csv", range(3))).record
    old = Leases(floor.database, WorkerMark.new(), lambda: NOW).take(batch.id, Stop())
    outcome = encode(RowOutcome(RowStatus.OK, text="attic", value="attic"))
    keeper = AnswerKeeper(floor.database)
    await asyncio.gather(*(keeper.keep(Kept(batch.id, old.claim, row, outcome)) for row in (1, 2, 3)))
    new = Leases(floor.database, WorkerMark.new(), lambda: NOW + timedelta(seconds=31)).take(batch.id, Stop())

    lost, chunks = (Chunks(floor.database, floor.root, one, floor.task.prompt.version(), ()) for one in (old, new))
    (chunk,) = chunks.due()
    with pytest.raises(ConflictError, match="taken over"):
        lost.finish(chunk)
    assert not (floor.root / batch.folder / "results").exists()
    after = chunks.finish(chunk)
    with pytest.raises(ConflictError, match="taken over"):  # and the answers are gone
        lost.finish(chunk)
    assert [part.name for part in (floor.root / batch.folder / "results").iterdir()] == [UPath(str(after.path)).name]


def test_a_dead_process_on_this_machine_is_noticed_at_once(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(5))).record
    here = this_process()
    dead = WorkerMark(ProcessMark(here.machine, here.pid, here.started + 1), "dead")
    Leases(floor.database, dead, lambda: NOW).take(batch.id, Stop())
    assert steering.look_at(floor.database, floor.root, batch.id, NOW).is_stalled
    assert floor.run(batch.id).state == "done"


def test_answers_of_a_dead_worker_are_not_asked_for_again(any_floor: Floor, tmp_path: Path):
    floor = any_floor
    batch = floor.add(write_csv(tmp_path / "in.csv", range(25))).record
    here = this_process()
    dead = Leases(floor.database, WorkerMark(replace(here, started=here.started + 1), "dead"), lambda: NOW)
    claim = dead.take(batch.id, Stop()).claim

    async def keep() -> None:
        keeper = AnswerKeeper(floor.database)
        for row in (1, 4, 25):
            outcome = RowOutcome(RowStatus.OK, text="kept", value="kept", call_id="c", call_ids=("c",))
            await keeper.keep(Kept(batch.id, claim, row, encode(outcome)))

    asyncio.run(keep())
    assert floor.run(batch.id).state == "done"
    assert sorted(floor.asked()) == sorted(set(range(25)) - {0, 3, 24})
    rows = floor.results(batch.id)
    assert [row["row"] for row in rows if row["output"] == "kept"] == [1, 4, 25]
    assert all(row["value"] == label_of(row["row"] - 1) for row in rows if row["output"] != "kept")
    with floor.database.session(read_only=True) as session:
        assert batch_chunks.counts(session, batch.id).answered_since == 0


@pytest.mark.parametrize("state", ["sqlite", "redis"])
async def test_calls_of_a_worker_that_has_just_died_are_named_at_the_end(
    request: pytest.FixtureRequest, floor: Floor, tmp_path: Path, state: str
):
    url = f"sqlite:///{tmp_path / 'state.db'}" if state == "sqlite" else request.getfixturevalue("redis_url")
    batch = floor.add(write_csv(tmp_path / "in.csv", range(5))).record
    here = this_process()
    dead = WorkerMark(ProcessMark(here.machine, here.pid, here.started + 1), "dead")
    Leases(floor.database, dead, lambda: NOW).take(batch.id, Stop())
    now = [1_000_000.0]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds != LOOK_AGAIN_S:
            await asyncio.Event().wait()  # heartbeats, which have no part in this
        slept.append(seconds)
        now[0] += seconds

    store = open_state_store(url)
    await store.open(StoreConfig(lease_s=15), "dead", now[0])
    facts = asking_of(batch.id, now[0])
    record = lost_record(facts)
    await store.admit(Intent(facts.attempt_id, facts.model, facts.scopes, 700, 15, "dead", record), now[0])
    settings = floor.settings(state=url, flush_interval_s=60)
    async with (
        open_client(settings, clock=lambda: now[0]) as client,
        open_worker(floor.database, floor.root, client, concurrency=8, timing=WorkerTime(sleep=sleep)) as worker,
    ):
        done = await worker.run(batch.id)
    assert [(repeat["row"], repeat["call_id"], repeat["status"]) for repeat in done.repeats] == [
        (3, facts.call_id, "lost")
    ]
    assert 14 <= sum(slept) <= 16, "as long as the dead may live, and no longer"
    assert done.state == "done"
    await store.close("dead", now[0])


def asking_of(batch_id: str, at: float) -> AttemptFacts:
    """An attempt for the third row that was under way when its worker died."""
    context = CallContext(purpose="batch", task="crates", batch_id=batch_id, row_id="3")
    call_id = "c" * 32
    return AttemptFacts(
        attempt_id=attempt_id_of(call_id, 1),
        call_id=call_id,
        number=1,
        model="openai/scripted",
        scopes=("org",),
        reserve_nano_usd=700,
        reserve_tokens=(10, 5),
        price=None,
        owner="dead",
        started_at=at,
        lineage=lineage_of(call_id, "openai/scripted", context, at),
    )


class Elsewhere:
    """Hands every chunk to others, as a provider's batch API would."""

    def __init__(self) -> None:
        self.given: list[ChunkWork] = []

    async def answer(self, work: ChunkWork) -> ChunkEnd:
        self.given.append(work)
        return ChunkEnd.SUBMITTED


async def test_chunks_that_others_have_need_no_worker(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(25))).record
    elsewhere = Elsewhere()
    async with floor.worker(answerer=elsewhere) as worker:
        waiting = await worker.run(batch.id)
        assert (waiting.state, waiting.worker) == ("waiting", None)
        assert (await worker.run(batch.id)).state == "waiting"
    assert len(elsewhere.given) == 3
    assert floor.asked() == []

    # The job comes back with all rows but two.
    claimed = Leases(floor.database, WorkerMark.new(), lambda: NOW).take(batch.id, Stop())
    keeper = AnswerKeeper(floor.database)
    for number in range(25):
        if number not in (3, 14):
            outcome = RowOutcome(RowStatus.OK, text=label_of(number), value=label_of(number), cost_nano_usd=1)
            await keeper.keep(Kept(batch.id, claimed.claim, number + 1, encode(outcome)))
    with floor.database.session() as session:
        for chunk in batch_chunks.list_chunks(session, batch.id):
            batch_chunks.set_state(session, chunk, ChunkState.OPEN)
        batches.change_claimed(session, batch.id, claimed.claim, state="paused", worker=None, pause_kind="interrupted")
    async with floor.worker() as worker:
        done = await worker.run(batch.id)
    assert done.state == "done"
    assert sorted(floor.asked()) == [3, 14]
    assert [row["value"] for row in floor.results(batch.id)] == [label_of(number) for number in range(25)]


async def test_a_signal_answers_what_is_under_way_first(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(40))).record
    before = signal.getsignal(signal.SIGTERM)
    async with floor.worker() as worker:
        with stop_on_signals(worker.interrupt) as received:
            with floor.held():
                running = asyncio.create_task(worker.run(batch.id))
                await floor.first_request()
                signal.raise_signal(signal.SIGTERM)
            paused = await running
    assert received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before
    assert (paused.state, paused.pause_kind) == ("paused", "interrupted")
    with floor.database.session(read_only=True) as session:
        counts = batch_chunks.counts(session, batch.id)
    assert counts.answered_since + counts.finished_rows == len(floor.asked()) < 40

    async with floor.worker() as worker:
        done = await worker.run(batch.id)
    assert (done.state, done.repeats) == ("done", [])
    assert sorted(floor.asked()) == list(range(40))


async def test_a_person_pauses_a_batch_in_another_process(floor: Floor, tmp_path: Path):
    floor.server.faults = lambda _index, _body: Fault(latency_s=0.2)  # all rows take seconds
    batch = floor.add(write_csv(tmp_path / "in.csv", range(400))).record
    async with floor.worker(lease_s=0.5) as worker:
        running = asyncio.create_task(worker.run(batch.id))
        await floor.first_request()
        assert (await asyncio.to_thread(steering.pause, floor.database, batch.id, NOW)).asked
        paused = await running
    assert (paused.state, paused.pause_kind) == ("paused", "person")
    assert len(floor.asked()) < 400
    steering.cancel(floor.database, batch.id, NOW)
    async with floor.worker() as worker:
        with pytest.raises(ConflictError, match="is cancelled"):
            await worker.run(batch.id)
