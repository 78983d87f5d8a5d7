"""What goes on beside the calls: proof of life, late settlements, alarms, and writing the ledger."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from domain.errors import PromptoryError, StateUnavailableError
from resources.llm.budget_watch import BudgetWatch
from resources.llm.call import Timing
from resources.llm.events import Dispatcher, StateUnavailable
from resources.llm.ledger import Ledger
from resources.llm.settlement import Settler
from resources.llm.state.protocol import StateStore

_log = logging.getLogger(__name__)


class Heartbeat:
    """Two loops of one process: one renews its lease, one flushes the ledger and looks at the budgets."""

    def __init__(
        self,
        store: StateStore,
        timing: Timing,
        dispatcher: Dispatcher,
        settler: Settler,
        ledger: Ledger,
        watch: BudgetWatch,
        reopen: Callable[[], Awaitable[None]],
        *,
        owner: str,
    ) -> None:
        self._store = store
        self._timing = timing
        self._dispatcher = dispatcher
        self._settler = settler
        self._ledger = ledger
        self._watch = watch
        self._reopen = reopen
        self._owner = owner
        self._must_reopen = False
        self._failed_steps = 0
        self._failing: dict[str, str] = {}
        self._stop = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    def start(self, lease_s: float, flush_interval_s: float) -> None:
        """Beat three times per lease, and flush at its own pace."""
        self._loops = [
            asyncio.create_task(self._every(lease_s / 3, self.beat, "renewing the lease")),
            asyncio.create_task(self._every(flush_interval_s, self.flush, "writing the ledger")),
        ]

    @property
    def failed_steps(self) -> int:
        """Steps that ended in an error nobody foresaw, since the client was opened."""
        return self._failed_steps

    @property
    def failing(self) -> tuple[str, ...]:
        """One sentence for each loop whose last step was such a one."""
        return tuple(f"Something goes wrong while {what} ({kind})." for what, kind in self._failing.items())

    async def stop(self) -> None:
        """End both loops; a step under way is finished."""
        self._stop.set()
        await asyncio.gather(*self._loops)

    async def beat(self) -> None:
        """Renew the lease and book late settlements; a store that lost its memory gets it back from the ledger."""
        try:
            try:
                await self._store.renew(self._owner, self._timing.clock())
            except StateUnavailableError as error:
                self._dispatcher.emit(StateUnavailable(error.problem))
                self._must_reopen = True
            if self._must_reopen:
                await self._reopen()
                self._must_reopen = False
            await self._settler.catch_up()
        except (PromptoryError, SQLAlchemyError) as error:
            _log.warning("the state store is away, paid calls are refused: %s", error)

    async def flush(self) -> None:
        """Write the ledger and raise budget alarms; what is away now is tried again."""
        await self._ledger.try_flush()
        try:
            await self._watch.look()
        except StateUnavailableError as error:
            _log.warning("the budgets cannot be looked at: %s", error)

    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]], what: str) -> None:
        # Real time on purpose: an injected sleep may return at once, and these loops never end by themselves.
        while not self._stop.is_set():
            try:
                await asyncio.wait_for(self._stop.wait(), seconds)
            except TimeoutError:
                await self._survive(step, what)

    async def _survive(self, step: Callable[[], Awaitable[None]], what: str) -> None:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - one bad step must not end the lease, or the ledger, for good
            self._failed_steps += 1
            self._failing[what] = type(error).__name__
            # Its text may quote what is being written: where it arose and its class say enough.
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.error(
                "%s failed and is tried again: %s in %s:%s", what, type(error).__name__, place.filename, place.lineno
            )
        else:
            self._failing.pop(what, None)
