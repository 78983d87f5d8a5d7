"""Steps of one turn share a transaction and nothing else: not a refusal, not a caller's leaving."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from resources.llm.background import Background
from resources.llm.state.protocol import Happened
from resources.llm.state.sqlite_file import SqliteFile


class Plain:
    """The bare connection, with nothing put off."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute

    def flush(self) -> None:
        return None


@pytest.fixture
async def file(tmp_path: Path):
    opened = SqliteFile(tmp_path / "state.db", asyncio.sleep, Plain)
    await opened.open()
    yield opened
    opened.close()


def put(name: str):
    def step(connection: Plain) -> str:
        connection.execute("INSERT INTO caps (name) VALUES (?)", (name,))
        return name

    return step


async def names(file: SqliteFile[Plain]) -> list[str]:
    return await file.read(lambda c: [name for (name,) in c.execute("SELECT name FROM caps ORDER BY name")])


async def test_steps_of_one_turn_share_a_transaction(file: SqliteFile[Plain], monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = 0
    transact = file._transact

    def counted(step):
        nonlocal transactions
        transactions += 1
        return transact(step)

    monkeypatch.setattr(file, "_transact", counted)
    done = await asyncio.gather(*(file.write(put(f"n{number}")) for number in range(5)))
    assert done == await names(file) == [f"n{number}" for number in range(5)]
    assert transactions == 1


async def test_a_step_that_is_refused_undoes_no_other(file: SqliteFile[Plain]) -> None:
    def refused(connection: Plain) -> None:
        connection.execute("INSERT INTO caps (name) VALUES ('refused')")
        raise ValueError("no")

    done = await asyncio.gather(file.write(put("a")), file.write(refused), file.write(put("b")), return_exceptions=True)
    assert (done[0], done[2]) == ("a", "b")
    assert isinstance(done[1], ValueError)
    assert await names(file) == ["a", "b"]


async def test_a_caller_that_left_before_its_turn_takes_its_step_along(file: SqliteFile[Plain]) -> None:
    leaving, staying = (asyncio.ensure_future(file.write(put(name))) for name in ("leaving", "staying"))
    await asyncio.sleep(0)  # both have asked
    leaving.cancel()
    assert await staying == "staying"
    with pytest.raises(asyncio.CancelledError) as left:
        await leaving
    assert left.value.args == ()
    assert await names(file) == ["staying"]


@pytest.mark.parametrize("way", ["plain", "undoable", "finish"])
async def test_a_caller_cancelled_right_after_the_commit_is_told(file: SqliteFile[Plain], way: str) -> None:
    background = Background(cancels_cleanly=True)
    undone: list[str] = []

    async def ask() -> str:
        if way == "undoable":
            return await background.undoable(lambda: file.write(put("x")), undone.append)
        if way == "finish":
            return await background.finish(lambda: file.write(put("x")))
        return await file.write(put("x"))

    caller = asyncio.ensure_future(ask())
    file._turns._run = _cancelling(caller, file._turns._run)
    with pytest.raises(asyncio.CancelledError) as left:
        await caller
    assert left.value.args == (Happened("x"),)
    assert undone == (["x"] if way == "undoable" else [])
    assert await names(file) == ["x"]
    await background.drain_all()  # `finish` has not begun it a second time, which the table would refuse


def _cancelling(caller: asyncio.Future, run):
    async def then_cancel(asked) -> None:
        await run(asked)
        caller.cancel()

    return then_cancel
