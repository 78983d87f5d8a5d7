"""Deaths at durable writes: a process kills itself right before, within or right after the n-th write of a kind.

`before` and `after` are around the step of the state store (or the ledger) that writes. `within` is when a write may be
lost or kept and its maker will never know: right before the database's COMMIT, or when Redis was sent the script and
has not answered.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from sqlite3 import dbapi2
from typing import Any

# Every step that writes while calls are made, by the name of the store's method; `write` is the ledger's.
STATE_STEPS = (
    "open",
    "cache_lookup",
    "admit",
    "settle",
    "cache_fill",
    "cache_abandon",
    "acknowledge_outbox",
    "renew",
    "close",
)
LEDGER_STEP = "write"
MOMENTS = ("before", "within", "after")
POINTS = tuple(f"{step}:{moment}" for step in (*STATE_STEPS, LEDGER_STEP) for moment in MOMENTS)
# How many writes of a kind a process makes before one kills it, at most; others happen with every call.
SELDOM = {"open": 1, "close": 1, "renew": 3, "acknowledge_outbox": 5, "write": 5, "cache_abandon": 3}


class Countdown:
    """Kills the process at the n-th write at `point`, and leaves a file `mark` that says so."""

    def __init__(self, point: str, count: int, mark: Path) -> None:
        self.step, _, self._moment = point.partition(":")
        self._left = count
        self._mark = mark
        self._lit = False

    def die(self) -> None:
        """Be gone at once, as a kill from outside would have it."""
        self._mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def before(self) -> None:
        """A write of the kind begins."""
        if self._moment == "after":
            return
        self._left -= 1
        if self._left == 0 and self._moment == "before":
            self.die()
        self._lit = self._lit or self._left == 0

    def within(self) -> None:
        """A write is about to become durable, or is on its way to where it will."""
        if self._lit:
            self.die()

    def after(self) -> None:
        """A write of the kind is durable, and nobody has been told."""
        if self._moment != "after":
            return
        self._left -= 1
        if self._left == 0:
            self.die()


def arm(countdown: Countdown, state_url: str, ledger_url: str) -> None:
    """Put the countdown around what makes state and ledger durable in this process."""
    from resources.llm.ledger_database import LedgerDatabase
    from resources.llm.state import open_state_store
    from resources.llm.state.protocol import Admitted, CacheLead

    if countdown.step == LEDGER_STEP:
        LedgerDatabase.write = _around(LedgerDatabase.write, countdown)
        watch_ledger(ledger_url, countdown)
        return
    # These write only when they say so.
    wrote = {"admit": Admitted, "cache_lookup": CacheLead}.get(countdown.step, object)
    store = type(open_state_store(state_url))
    setattr(store, countdown.step, _around_async(getattr(store, countdown.step), countdown, wrote))
    if state_url.startswith("sqlite"):
        watch_commits(Path(state_url.removeprefix("sqlite:///")), countdown)
    else:
        _watch_sending(countdown)


def _around(write: Callable[..., Any], countdown: Countdown) -> Callable[..., Any]:
    @wraps(write)
    def counted(*arguments: Any, **named: Any) -> Any:
        countdown.before()
        result = write(*arguments, **named)
        countdown.after()
        return result

    return counted


def _around_async(step: Callable[..., Any], countdown: Countdown, wrote: type) -> Callable[..., Any]:
    @wraps(step)
    async def counted(*arguments: Any, **named: Any) -> Any:
        countdown.before()
        result = await step(*arguments, **named)
        if isinstance(result, wrote):
            countdown.after()
        return result

    return counted


def watch_ledger(url: str, countdown: Countdown) -> None:
    """Every later connection to the database tells of its commits."""
    if url.startswith("sqlite"):
        watch_commits(Path(url.removeprefix("sqlite:///")), countdown)
        return
    from psycopg import Connection

    commit = Connection.commit

    @wraps(commit)
    def committing(connection: Connection[Any]) -> None:
        countdown.within()
        commit(connection)

    Connection.commit = committing


def watch_commits(path: Path, countdown: Countdown) -> None:
    """Every later connection to the SQLite file at `path` tells of its commits."""

    class Telling(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql.startswith("COMMIT"):
                countdown.within()
            return super().execute(sql, *parameters)

        def commit(self) -> None:
            if self.in_transaction:
                countdown.within()
            super().commit()

    connect = sqlite3.connect

    def connecting(database: Any, *arguments: Any, **named: Any) -> sqlite3.Connection:
        telling = partial(connect, factory=Telling) if str(database) == str(path) else connect
        return telling(database, *arguments, **named)

    sqlite3.connect = dbapi2.connect = connecting


def _watch_sending(countdown: Countdown) -> None:
    """Every connection to a Redis server tells of scripts it has sent and not heard back from."""
    from redis.asyncio.connection import AbstractConnection

    send = AbstractConnection.send_packed_command

    @wraps(send)
    async def sending(connection: AbstractConnection, command: Any, *arguments: Any, **named: Any) -> None:
        parts = [command] if isinstance(command, bytes) else list(command)
        await send(connection, parts, *arguments, **named)
        if any(b"EVAL" in part for part in parts):  # the connection's own greetings write nothing
            countdown.within()

    AbstractConnection.send_packed_command = sending
