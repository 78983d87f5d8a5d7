"""Moving finished calls and the state store's outbox into the ledger, in batches, beside the calls."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from sqlalchemy.exc import SQLAlchemyError

from domain.errors import PromptoryError
from resources.llm.events import CallFinished, Dispatcher, Event, LedgerDelayed
from resources.llm.ledger_database import LedgerDatabase
from resources.llm.ledger_rows import call_row
from resources.llm.records import call_of
from resources.llm.state.protocol import StateStore

_log = logging.getLogger(__name__)

_BATCH = 1000
# Above this, calls wait for the database in memory no longer; their attempts still wait in the outbox.
MAX_WAITING_CALLS = 200_000


class Ledger:
    """Subscriber that keeps finished calls and moves them, with the outbox's attempts, into the database."""

    def __init__(self, database: LedgerDatabase, store: StateStore, dispatcher: Dispatcher) -> None:
        self._database = database
        self._store = store
        self._dispatcher = dispatcher
        self._waiting: deque[CallFinished] = deque(maxlen=MAX_WAITING_CALLS)
        self._open: set[str] = set()
        self._writing = asyncio.Lock()

    @property
    def waiting_calls(self) -> int:
        """Finished calls that the database does not hold yet."""
        return len(self._waiting)

    def begun(self, call_id: str) -> None:
        """A call began; its attempts stay in the outbox until it ends, so that none is written without its call."""
        self._open.add(call_id)

    def on_event(self, event: Event) -> None:
        """Keep the finished call. One that did not begin here is in the ledger already: a provider's job made it."""
        if not isinstance(event, CallFinished):
            return
        try:
            self._open.remove(event.call_id)
        except KeyError:
            return
        self._waiting.append(event)

    async def flush(self) -> None:
        """Write all that is known now.

        Raises:
            DatabaseUnavailableError: the database is away; everything is kept.
            StateUnavailableError: the outbox cannot be read; everything is kept.
        """
        async with self._writing:
            while await self._write_batch():
                pass

    async def try_flush(self) -> None:
        """`flush` that only tells subscribers and the log when it cannot."""
        try:
            await self.flush()
        except (PromptoryError, SQLAlchemyError, KeyError, ValueError, OverflowError) as error:
            # SQLAlchemy's text may quote statements, and an unreadable record its content: the class says enough. A
            # number that no column takes is an OverflowError on SQLite.
            problem = error.problem if isinstance(error, PromptoryError) else type(error).__name__
            _log.warning("the ledger is not written, %d calls wait: %s", len(self._waiting), problem)
            self._dispatcher.emit(LedgerDelayed(problem, len(self._waiting)))

    async def _write_batch(self) -> bool:
        """Write up to a batch of calls and attempts; whether there may be more."""
        events = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        stored = False
        try:
            taken = await self._store.take_outbox(_BATCH)
            records = self._writable(taken)
            if events or records:
                rows = [call_row(event) for event in events]
                texts = [record for _, record in records]
                await asyncio.to_thread(self._database.write, rows, texts)
            stored = True
        finally:
            if not stored:
                self._waiting.extendleft(reversed(events))
        if records:
            await self._store.acknowledge_outbox([attempt_id for attempt_id, _ in records])
        return len(events) == _BATCH or (len(taken) == _BATCH and len(records) > 0)

    def _writable(self, taken: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those whose call has ended; all of them where those of open calls would stop up the outbox."""
        if not self._open:
            return taken
        ended = [pair for pair in taken if call_of(pair[0]) not in self._open]
        return ended if ended or len(taken) < _BATCH else taken
