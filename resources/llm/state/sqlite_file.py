"""One SQLite file shared by threads and processes: opening, atomic steps, and errors in our words."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from domain.errors import StateUnavailableError
from resources.llm.state.sqlite_schema import SCHEMA, SCHEMA_VERSION, UPGRADES
from resources.llm.state.sqlite_turns import Asked, Step, Turns, run_together

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

FIRST_PAUSE_S = 0.0005
LONGEST_PAUSE_S = 0.02
GIVE_UP_AFTER_S = 10.0
CHECKPOINT_PAGES = 4000
PRIMARY_CODE = 0xFF

# Closing a connection that came through a fork would release what the parent still holds.
_INHERITED: list[sqlite3.Connection] = []


class Rows(Protocol):
    """What steps work on during one transaction."""

    def flush(self) -> None:
        """Write what was put off; the transaction ends."""
        ...


R = TypeVar("R", bound=Rows)


class SqliteFile(Generic[R]):
    """A connection that every thread of the process shares, one step at a time.

    A step takes about 0.1 ms, so it runs where it is called. While another *process* holds the file, the caller's
    event loop goes on: it sleeps and tries again, instead of blocking inside SQLite.

    Args:
        rows: makes what the steps of one transaction share.
    """

    def __init__(self, path: Path, sleep: Sleep, rows: Callable[[sqlite3.Connection], R]) -> None:
        self._path = path
        self._place = os.fspath(path)
        self._rows = rows
        self._sleep = sleep
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._inode = 0
        self._turns = Turns(self._run_together)

    async def open(self) -> None:
        """Connect and create the tables where they are missing; does nothing when already open.

        Raises:
            StateUnavailableError: the file cannot be made, read or written.
        """
        await self._insist(self._connect)

    async def write(self, step: Callable[[R], T]) -> T:
        """Run `step` in one transaction, which it may share. It may run again, so it must touch nothing else.

        Raises:
            StateUnavailableError: the file is gone, damaged, not writable, or locked for 10 s.
        """
        self._leave_parent()
        return await self._turns.take(step)

    async def read(self, step: Callable[[R], T]) -> T:
        """Run a `step` of one SELECT.

        Raises:
            StateUnavailableError: the file is gone, damaged, or locked for 10 s.
        """
        return await self._insist(lambda: step(self._rows(self._connected())))

    def close(self) -> None:
        """Release the connection. Safe to call twice."""
        self._leave_parent()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    async def _insist(self, action: Callable[[], T]) -> T:
        self._leave_parent()
        for pause_s in _pauses():
            try:
                with self._lock:
                    return action()
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE != sqlite3.SQLITE_BUSY:
                    raise self._unavailable(str(error)) from error
            await self._sleep(pause_s)
        raise self._unavailable(f"another process has locked it for {GIVE_UP_AFTER_S:.0f} s")

    async def _run_together(self, asked: list[Asked]) -> None:
        await self._insist(lambda: run_together(asked, self._transact))

    def _transact(self, step: Step[T]) -> T:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            rows = self._rows(connection)
            result = step(rows)
            rows.flush()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _connect(self) -> None:
        if self._connection is not None:
            return
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._inode = self._path.stat().st_ino

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise self._unavailable("its file system does not support SQLite's WAL mode")
        # Nothing is lost when a process dies; after a power cut the newest steps may be, but the file is sound.
        connection.execute("PRAGMA synchronous = NORMAL")
        # Only checkpoints wait for the disk, and they do so on the caller's event loop: make them rare.
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, *UPGRADES, SCHEMA_VERSION):
            raise self._unavailable(f"it has format {version}, this program needs {SCHEMA_VERSION}")
        for script in [SCHEMA] if version == 0 else [UPGRADES[older] for older in range(version, SCHEMA_VERSION)]:
            for statement in script.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateUnavailableError(
                f"The state store {self._path} is not open in this process.",
                file=str(self._path),
                mend="Open it first, in each process that uses it.",
            )
        # A file that was deleted would live on for this process alone, and a new one would begin at zero for others.
        try:
            inode = os.stat(self._place).st_ino  # noqa: PTH116 - Path.stat costs several times as much
        except OSError as error:
            raise self._unavailable("it was removed or cannot be reached") from error
        if inode != self._inode:
            raise self._unavailable("it was replaced by another file")
        return self._connection

    def _leave_parent(self) -> None:
        if self._pid == os.getpid():
            return
        if self._connection is not None:
            _INHERITED.append(self._connection)
        self._connection = None
        self._lock = threading.Lock()
        self._turns = Turns(self._run_together)
        self._pid = os.getpid()

    def _unavailable(self, why: str) -> StateUnavailableError:
        return StateUnavailableError(
            f"The state file cannot be used: {why}.",
            file=str(self._path),
            mend="Check that its folder exists and that the file is a writable Promptory state file on a local disk; "
            "a damaged one can be moved away while no process runs, and its totals are rebuilt from the ledger.",
        )


def _pauses() -> Iterator[float]:
    """Growing pauses that add up to the time after which we give up."""
    total, pause_s = 0.0, FIRST_PAUSE_S
    while total < GIVE_UP_AFTER_S:
        yield pause_s
        total += pause_s
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
