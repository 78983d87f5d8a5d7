"""Announcing each move of a circuit breaker once, half-open ones included."""

from __future__ import annotations

from collections import Counter

from resources.llm.call import Timing
from resources.llm.events import BreakerChanged, Dispatcher
from resources.llm.state.protocol import BreakerChange, BreakerState


class BreakerLog:
    """Remembers where each breaker was last seen."""

    def __init__(self, dispatcher: Dispatcher, timing: Timing) -> None:
        self._dispatcher = dispatcher
        self._timing = timing
        self._seen: dict[str, BreakerState] = {}
        self._openings: Counter[str] = Counter()

    def moved(self, change: BreakerChange) -> None:
        """A settlement or a person moved it."""
        self._seen[change.model] = change.after
        self._openings[change.model] += change.after == "open"
        self._dispatcher.emit(BreakerChanged(change.model, change.before, change.after, self._timing.clock()))

    def openings(self, model: str) -> int:
        """How often the model's breaker was seen to open."""
        return self._openings[model]

    def probing(self, model: str) -> None:
        """A probe was let through: the breaker is half open, which no settlement reports."""
        if self._seen.get(model) != "half_open":
            self.moved(BreakerChange(model, "open", "half_open"))
