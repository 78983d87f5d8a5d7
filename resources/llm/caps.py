"""Whether a cap stands over a call: what an unpriced model, or a call without a budget, must not slip past."""

from __future__ import annotations

import asyncio

from resources.llm.call import Timing
from resources.llm.state.protocol import StateStore

_FRESH_S = 1.0


class Caps:
    """The names of the capped scopes, as the store has them: whoever set or lifted a cap, it shows within a second.

    A store that lost its memory answers no question, so that it cannot pass for one without caps.
    """

    def __init__(self, store: StateStore, timing: Timing) -> None:
        self._store = store
        self._timing = timing
        self._capped: set[str] = set()
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    def changed(self, scope: str, *, capped: bool) -> None:
        """A cap was set or lifted by this process."""
        if capped:
            self._capped.add(scope)
        else:
            self._capped.discard(scope)

    async def cover(self, scopes: tuple[str, ...]) -> bool:
        """Whether any of `scopes` (names, not windows) has a cap.

        Raises:
            StateUnavailableError: the store cannot be asked.
        """
        if scopes and not self._is_fresh():
            async with self._looking:
                if not self._is_fresh():
                    # From before the question: what is set while it is answered may be missing from the answer.
                    asked_at = self._timing.monotonic()
                    self._capped = set(await self._store.caps())
                    self._looked_at = asked_at
        return not self._capped.isdisjoint(scopes)

    def _is_fresh(self) -> bool:
        return self._looked_at is not None and self._timing.monotonic() - self._looked_at < _FRESH_S
