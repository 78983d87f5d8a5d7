"""What an attempt's end means for money, limiter and breaker: the one place that decides it."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import ProviderError
from domain.pricing import ModelPrice, cost_nano_usd
from resources.llm.records import AttemptFacts, Ending
from resources.llm.state.protocol import ProviderHealth
from resources.llm.types import ProviderAnswer

# A header that asks for more is a mistake of the provider; it must not shut a model for days.
MAX_PAUSE_S = 3600.0


@dataclass(slots=True)
class Outcome:
    """An ending with what breaker and limiter learn from it."""

    ending: Ending
    health: ProviderHealth
    tokens_used: int | None = None
    pause_s: float = 0.0


def answered(facts: AttemptFacts, price: ModelPrice | None, answer: ProviderAnswer, latency_s: float) -> Outcome:
    """The provider answered: its own count of tokens is what is charged.

    Where it gave none, nobody knows what it billed, and the whole reserve stays charged as ambiguous.
    """
    usage = answer.usage
    pause_s = min(answer.pause_s, MAX_PAUSE_S)
    if answer.usage_estimated and price is not None:
        ending = Ending("ok", "ambiguous", facts.reserve_nano_usd, usage, answer.provider_request_id, latency_s)
        return Outcome(ending, "success", None, pause_s)
    cost = cost_nano_usd(price, usage) if price else 0
    charge = "overrun" if cost > facts.reserve_nano_usd else "settled"
    ending = Ending("ok", charge, cost, usage, answer.provider_request_id, latency_s)
    return Outcome(ending, "success", usage.input_tokens + usage.output_tokens, pause_s)


def failed(facts: AttemptFacts, error: ProviderError, latency_s: float, default_pause_s: float) -> Outcome:
    """The provider failed: free when nothing was sent or it said so, else the whole reserve stays charged.

    A wait that it asks for is kept whatever its fault; one it does not name, only where the fault calls for one.
    """
    rule = error.rule
    unknown = rule.outcome_unknown and not error.never_sent
    ending = Ending(
        error.fault.value,
        "ambiguous" if unknown else "free",
        facts.reserve_nano_usd if unknown else 0,
        latency_s=latency_s,
    )
    unnamed = default_pause_s if rule.pauses_limiter else 0.0
    pause = unnamed if error.retry_after_s is None else error.retry_after_s
    return Outcome(
        ending,
        "fault" if rule.counts_for_breaker else "neutral",
        tokens_used=0 if error.never_sent else None,
        pause_s=min(pause, MAX_PAUSE_S),
    )


def broken_off(facts: AttemptFacts, outcome: str, latency_s: float) -> Outcome:
    """Nobody knows what the provider did (`cancelled`, `crashed`): the whole reserve stays charged."""
    return Outcome(Ending(outcome, "ambiguous", facts.reserve_nano_usd, latency_s=latency_s), "neutral")


def never_sent(outcome: str) -> Outcome:
    """Admitted, yet not a byte left: nothing is charged and nothing learnt."""
    return Outcome(Ending(outcome, "free", 0), "neutral", tokens_used=0)
