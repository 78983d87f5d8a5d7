"""Alarms when budgets run down: once per window and threshold, off the calls' path."""

from __future__ import annotations

from resources.llm.events import BudgetAlarm, Dispatcher
from resources.llm.records import AttemptFacts
from resources.llm.state.protocol import ScopeState, StateStore

THRESHOLDS = (50, 80, 100)


class BudgetWatch:
    """Looks at all capped windows when asked to, and remembers which were found too full for a call."""

    def __init__(self, store: StateStore, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._alarmed: dict[str, int] = {}
        self._refused: dict[str, int] = {}

    def refused(self, facts: AttemptFacts) -> None:
        """An attempt did not fit one of its windows."""
        for scope in facts.scopes:
            smallest = self._refused.get(scope, facts.reserve_nano_usd)
            self._refused[scope] = min(smallest, facts.reserve_nano_usd)

    async def look(self) -> None:
        """Emit what is due.

        Raises:
            StateUnavailableError: the store cannot be asked.
        """
        for state in await self._store.capped_scopes():
            percent = self._threshold(state)
            if percent > self._alarmed.get(state.scope, 0):
                self._alarmed[state.scope] = percent
                cap = state.cap_nano_usd or 0
                self._dispatcher.emit(BudgetAlarm(state.scope, percent, spent(state), cap))
        self._refused.clear()

    def _threshold(self, state: ScopeState) -> int:
        cap = state.cap_nano_usd
        if cap is None or spent(state) == 0:
            return 0
        refused = self._refused.get(state.scope)
        if refused is not None and refused <= cap < spent(state) + refused:
            return THRESHOLDS[-1]
        return max((percent for percent in THRESHOLDS if spent(state) * 100 >= cap * percent), default=0)


def spent(state: ScopeState) -> int:
    """Nano-USD that are gone, or may be."""
    return state.settled_nano_usd + state.ambiguous_nano_usd
