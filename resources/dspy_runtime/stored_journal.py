"""The journal in the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from resources.database.repositories import journal
from resources.database.session import Database
from resources.dspy_runtime.journal import Answer


class StoredJournal:
    """A `JournalStore` on the `optimization_journal` table.

    One transaction per answer, half a millisecond on SQLite: sharing transactions between threads was measured and
    gained nothing there.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def load_all(self, run_id: str) -> dict[str, Answer]:
        """Every answer of the run, by key.

        Raises:
            DatabaseUnavailableError: it cannot be read.
        """
        with self._database.session(read_only=True) as session:
            return journal.load_all(session, run_id)

    def put(self, run_id: str, key: str, answer: Answer) -> None:
        """Keep an answer; durable when this returns. A key that exists keeps its first answer.

        Raises:
            DatabaseUnavailableError: it cannot be written.
        """
        with self._database.session() as session:
            journal.put_many(session, run_id, {key: answer}, now=self._clock())
