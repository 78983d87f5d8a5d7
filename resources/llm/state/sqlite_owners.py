"""The processes that use a state file, as its rows."""

from __future__ import annotations

import sqlite3

from resources.llm.state.process_mark import ProcessMark, is_gone, this_process


class OwnerRows:
    """The owners' part of `GuardTables`. Heartbeats tell who is silent; process ids tell at once who is gone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: set[str] = set()

    def knows_owner(self, owner: str) -> bool:
        if owner not in self._known:
            if self._connection.execute("SELECT 1 FROM owners WHERE owner = ?", (owner,)).fetchone() is None:
                return False
            self._known.add(owner)
        return True

    def see_owner(self, owner: str, now: float) -> None:
        mark = this_process()
        self._connection.execute(
            "INSERT OR REPLACE INTO owners (owner, seen, machine, pid, started) VALUES (?, ?, ?, ?, ?)",
            (owner, now, mark.machine, mark.pid, mark.started),
        )

    def drop_owner(self, owner: str) -> None:
        self._known.discard(owner)
        self._connection.execute("DELETE FROM owners WHERE owner = ?", (owner,))

    def dead_owners(self, silent_since: float) -> list[str]:
        here = this_process()
        rows = self._connection.execute("SELECT owner, seen, machine, pid, started FROM owners").fetchall()
        return [
            owner
            for owner, seen, machine, pid, started in rows
            if seen <= silent_since or is_gone(ProcessMark(machine, pid, started), here)
        ]
