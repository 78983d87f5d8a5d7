"""Whether a cap stands over a call: what an unpriced model, or a call without a budget, must not slip past."""

from __future__ import annotations

from collections.abc import Iterable

from resources.llm.call import Timing
from resources.llm.scopes import cap_name
from resources.llm.state.protocol import StateStore

_FRESH_S = 1.0


class Caps:
    """The scopes known to be capped, by settings or (looked up at most once a second) by anybody else."""

    def __init__(self, store: StateStore, timing: Timing, capped: Iterable[str]) -> None:
        self._store = store
        self._timing = timing
        self._capped = set(capped)
        self._looked_at: float | None = None

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
        if not self._capped.isdisjoint(scopes):
            return True
        now = self._timing.monotonic()
        if scopes and (self._looked_at is None or now - self._looked_at >= _FRESH_S):
            states = await self._store.scopes()
            self._capped.update(cap_name(state.scope) for state in states if state.cap_nano_usd is not None)
            self._looked_at = now
        return not self._capped.isdisjoint(scopes)
