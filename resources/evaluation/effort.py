"""What work on rows took: calls, money, tokens, and what it did not take because it was stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from resources.llm.types import Completion


@dataclass(slots=True)
class Effort:
    """Counts of one evaluation, of its answers or of its judgements.

    Attributes:
        reused: answers or judgements that were stored already.
        calls: calls made now, cached ones included.
        cached: of these, served by the response cache.
        paid_nano_usd: what these calls were charged.
        tokens: input + output tokens of the paid calls.
    """

    reused: int = 0
    calls: int = 0
    cached: int = 0
    paid_nano_usd: int = 0
    tokens: int = 0

    def count(self, completions: Sequence[Completion]) -> None:
        """Add the calls of one row."""
        for completion in completions:
            self.calls += 1
            self.cached += completion.cached
            self.paid_nano_usd += completion.cost_nano_usd
            if not completion.cached:
                self.tokens += completion.usage.input_tokens + completion.usage.output_tokens

    @classmethod
    def total(cls, efforts: Iterable[Effort]) -> Self:
        """The sum of several."""
        total = cls()
        for one in efforts:
            total.reused += one.reused
            total.calls += one.calls
            total.cached += one.cached
            total.paid_nano_usd += one.paid_nano_usd
            total.tokens += one.tokens
        return total
