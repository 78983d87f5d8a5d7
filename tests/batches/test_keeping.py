"""Answers that the database does not take: they are waited for, or their rows hear of it; nobody hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from batches.conftest import NOW, Floor, task_of, write_csv
from servers.openai_server import OpenAIServer
from servers.postgres import PostgresServer
from sqlalchemy import text

from domain.batch.outcome import RowOutcome
from domain.batch.states import PauseKind, RowStatus
from domain.errors import DatabaseUnavailableError
from resources.batch_inference import steering
from resources.batch_inference.keeping import AnswerKeeper, Kept
from resources.batch_inference.leases import Leases
from resources.batch_inference.marks import WorkerMark
from resources.batch_inference.outcome_text import encode
from resources.batch_inference.stopping import Stop
from resources.database.repositories import batch_chunks, batches
from resources.database.session import Database, open_database

REFUSE = "CREATE TRIGGER refuse BEFORE {what} BEGIN SELECT RAISE(ABORT, 'secret words'); END"
ATTIC = encode(RowOutcome(RowStatus.OK, text="attic", value="attic"))


@pytest.fixture
def standby_floor(tmp_path: Path, server: OpenAIServer, upgraded_postgres_url: str) -> Iterator[Floor]:
    """A floor on PostgreSQL."""
    database = open_database(upgraded_postgres_url)
    made = Floor(tmp_path, database, server, task_of(), upgraded_postgres_url)
    made.promote()
    yield made
    database.dispose()


def execute(database: Database, statement: str) -> None:
    with database.session() as session:
        session.execute(text(statement))


async def test_answers_wait_while_the_server_is_a_standby(
    standby_floor: Floor, postgres_server: PostgresServer, tmp_path: Path
):
    database = standby_floor.database
    batch = standby_floor.add(write_csv(tmp_path / "in.csv", range(3))).record
    claim = Leases(database, WorkerMark.new(), lambda: NOW).take(batch.id, Stop()).claim
    name = database.engine.url.database
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.dispose()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        postgres_server.execute(f"ALTER DATABASE {name} RESET ALL")
        database.dispose()

    await asyncio.wait_for(AnswerKeeper(database, sleep).keep(Kept(batch.id, claim, 1, ATTIC)), 20)
    assert len(waits) == 1
    with database.session(read_only=True) as session:
        assert list(batch_chunks.answers_of(session, batch_chunks.list_chunks(session, batch.id)[0])) == [1]


async def test_whoever_waits_for_an_answer_that_cannot_be_kept_is_told(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(3))).record
    claim = Leases(floor.database, WorkerMark.new(), lambda: NOW).take(batch.id, Stop()).claim
    keeper = AnswerKeeper(floor.database)
    execute(floor.database, REFUSE.format(what="INSERT ON batch_answers"))
    kept = [keeper.keep(Kept(batch.id, claim, row, ATTIC)) for row in (1, 2)]
    told = await asyncio.wait_for(asyncio.gather(*kept, return_exceptions=True), 20)
    assert [type(one) for one in told] == [DatabaseUnavailableError] * 2
    assert "secret" not in str(told[0])

    execute(floor.database, "DROP TRIGGER refuse")
    await asyncio.wait_for(keeper.keep(Kept(batch.id, claim, 1, ATTIC)), 20)
    await keeper.close()


async def test_leases_are_prolonged_again_after_an_error_nobody_knows(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(3))).record
    looks = 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            execute(floor.database, "DROP TRIGGER refuse")
            await asyncio.to_thread(steering.pause, floor.database, batch.id, NOW)
        if looks == 3:
            raise asyncio.CancelledError

    stop = Stop()
    leases = Leases(floor.database, WorkerMark.new(), lambda: NOW, sleep)
    leases.take(batch.id, stop)
    execute(floor.database, REFUSE.format(what="UPDATE OF lease_until ON batches"))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(leases.keep_alive(), 20)
    assert looks == 3
    assert stop.reason is not None
    assert stop.reason.kind is PauseKind.PERSON
    with floor.database.session(read_only=True) as session:
        assert batches.get(session, batch.id).lease_until is not None
