"""What the calls of one stretch of work came to, counted from the core's events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from domain.pricing import nano_to_usd
from resources.llm.events import AttemptFinished, BreakerChanged, CallFinished, Event


@dataclass(slots=True)
class Tally:
    """A subscriber that adds up calls; read it when its client is closed.

    Attributes:
        cost_nano_usd: charged for all attempts, ambiguous ones included.
        input_tokens, output_tokens: of all attempts, as the providers counted them; cached answers have none.
        fallbacks: calls that fell back, by reason.
        failures: calls that ended in an error or were cancelled, by reason.
    """

    calls: int = 0
    cached_calls: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0
    breaker_openings: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def __call__(self, event: Event) -> None:
        """Count `event`."""
        if isinstance(event, CallFinished):
            self._call(event)
        elif isinstance(event, AttemptFinished):
            self.attempts += 1
            self.input_tokens += event.usage.input_tokens
            self.output_tokens += event.usage.output_tokens
            self.cost_nano_usd += event.cost_nano_usd
        elif isinstance(event, BreakerChanged) and event.after == "open":
            self.breaker_openings += 1

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    @property
    def cache_hit_rate(self) -> float:
        """Share of calls answered from the cache, 0 to 1; 0 without calls."""
        return self.cached_calls / self.calls if self.calls else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values under the names that run pages and reports use."""
        return {
            "cost_usd": float(nano_to_usd(self.cost_nano_usd)),
            "tokens": self.tokens,
            "calls": self.calls,
            "cached_calls": self.cached_calls,
            "cache_hit_rate": self.cache_hit_rate,
            "fallbacks": dict(self.fallbacks),
            "breaker_openings": self.breaker_openings,
        }

    def _call(self, event: CallFinished) -> None:
        self.calls += 1
        self.cached_calls += event.cached
        if event.status == "fallback":
            self.fallbacks[event.reason or "unknown"] += 1
        elif event.status != "ok":
            self.failures[event.reason or "unknown"] += 1
