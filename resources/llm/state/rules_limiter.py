"""The rate limiter's arithmetic: a sliding window of one-second slots, so that no 60 s ever exceed the limit.

A slot is counted until every request in it is at least 61 s old. The second above 60 covers differing ways to the
provider: requests admitted 60 s apart may arrive closer together. A full window therefore turns over every 62 s,
which still uses 60/62 = 96.8 % of the limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from domain.errors import ConfigurationError
from resources.llm.state.protocol import ModelLimits

WINDOW_S = 60.0
SLOT_S = 1.0
TRANSIT_S = 1.0
KEPT_S = WINDOW_S + SLOT_S + TRANSIT_S


@dataclass(frozen=True, slots=True)
class Use:
    """Requests and tokens counted in the window."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """What was admitted in the second that begins at `start`."""

    start: int
    requests: int
    tokens: int


def slot_at(now: float) -> int:
    """The slot in which an admission at `now` is counted."""
    return math.floor(now)


def last_expired_slot(now: float) -> int:
    """The newest slot that no longer counts at `now`."""
    return math.floor(now - KEPT_S)


def fits(limits: ModelLimits, used: Use, tokens: int) -> bool:
    """Whether one more request of `tokens` stays within the limits."""
    requests_fit = limits.requests_per_minute is None or used.requests + 1 <= limits.requests_per_minute
    tokens_fit = limits.tokens_per_minute is None or used.tokens + tokens <= limits.tokens_per_minute
    return requests_fit and tokens_fit


def require_possible(model: str, limits: ModelLimits, tokens: int) -> None:
    """Refuse a request that even an idle limiter could never admit.

    Raises:
        ConfigurationError: the request's worst case alone is above the limit.
    """
    if fits(limits, Use(), tokens):
        return
    raise ConfigurationError(
        f"One request of up to {tokens} tokens to {model} can never be sent under its limits of "
        f"{limits.requests_per_minute} requests and {limits.tokens_per_minute} tokens per minute.",
        field=f"limits.{model}",
        mend="Lower the request's max_output_tokens, shorten its prompt, or raise the limit.",
    )


def seconds_until_fit(limits: ModelLimits, slots: Iterable[Slot], tokens: int, now: float) -> float:
    """Seconds until enough slots have expired for one more request of `tokens`; 0 if it fits now."""
    ordered = sorted(slots, key=lambda slot: slot.start)
    used = Use(sum(slot.requests for slot in ordered), sum(slot.tokens for slot in ordered))
    free_at = now
    for slot in ordered:
        if fits(limits, used, tokens):
            break
        used = Use(used.requests - slot.requests, used.tokens - slot.tokens)
        free_at = slot.start + KEPT_S
    return max(0.0, free_at - now)


def fraction_left(limit: int | None, used: int) -> float | None:
    """Share of `limit` not yet used, from 0 to 1; None without a limit."""
    if limit is None:
        return None
    return max(0.0, 1.0 - used / limit) if limit > 0 else 0.0
