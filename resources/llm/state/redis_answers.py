"""What the Redis scripts answer, in the words of the protocol. Why and how long is worked out by the common rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from resources.llm.state import rules_breaker, rules_budget, rules_limiter
from resources.llm.state.admission import UNLIMITED
from resources.llm.state.protocol import (
    Admitted,
    BreakerChange,
    CacheFollow,
    CacheHit,
    CacheLead,
    CacheLookup,
    Intent,
    Refused,
    ScopeState,
    SettleResult,
    StoreConfig,
    Verdict,
    Wait,
)
from resources.llm.state.rules_breaker import Breaker
from resources.llm.state.rules_limiter import Slot, Use
from resources.llm.state.tables import FOLLOW_POLL_S, ModelGuards

UNSEEN = ModelGuards(Breaker())


def read_verdict(answer: Sequence[Any], intent: Intent, config: StoreConfig, now: float) -> Verdict:
    """The verdict of the admission script.

    Raises:
        ConfigurationError: the intent's tokens alone are above the model's limit.
    """
    kind, *facts = answer
    if kind == b"admitted":
        return Admitted(probe=facts[0] == 1)
    denial = _DENIALS[kind](facts, intent, config, now)
    if isinstance(denial, Wait | Refused):
        return denial
    raise TypeError(f"The rules admit what the script denied: {answer!r}")


def _open(facts: Sequence[Any], _: Intent, config: StoreConfig, now: float) -> object:
    return rules_breaker.ask(Breaker("open", opened_at=float(facts[0])), config.breaker, now)


def _probing(facts: Sequence[Any], _: Intent, config: StoreConfig, now: float) -> object:
    return rules_breaker.ask(Breaker("half_open", probe="other", probe_until=float(facts[0])), config.breaker, now)


def _limited(facts: Sequence[Any], intent: Intent, config: StoreConfig, now: float) -> object:
    limits = config.limits.get(intent.model, UNLIMITED)
    slots = read_slots(facts[1], rules_limiter.last_expired_slot(now))
    paused_s = float(facts[0]) - now
    return Wait(max(paused_s, rules_limiter.seconds_until_fit(limits, slots, intent.tokens, now)), "rate_limited")


def _impossible(_: Sequence[Any], intent: Intent, config: StoreConfig, __: float) -> object:
    return rules_limiter.require_possible(intent.model, config.limits.get(intent.model, UNLIMITED), intent.tokens)


def _held(*_: object) -> object:
    return Wait(rules_budget.HELD_POLL_S, "budget_held")


def _refused(facts: Sequence[Any], intent: Intent, _: StoreConfig, __: float) -> object:
    name, cap, settled, ambiguous, reserved, frozen = facts
    scope = ScopeState(
        name.decode(), _cap(cap), int(settled), int(ambiguous), int(reserved), frozen=frozen == 1
    )  # fmt: skip
    return rules_budget.ask([scope], intent.reserve_nano_usd)


_DENIALS: dict[bytes, Callable[[Sequence[Any], Intent, StoreConfig, float], object]] = {
    b"open": _open,
    b"probing": _probing,
    b"limited": _limited,
    b"impossible": _impossible,
    b"held": _held,
    b"refused": _refused,
}


def read_settled(answer: Sequence[Any]) -> SettleResult:
    """The result of the settling script; nothing for an attempt that is not open."""
    if answer[0] != b"settled":
        return SettleResult()
    _, model, before, after, frozen = answer
    change = None if before == after else BreakerChange(model.decode(), before.decode(), after.decode())
    return SettleResult(change, tuple(scope.decode() for scope in frozen))


def read_lookup(answer: Sequence[Any]) -> CacheLookup:
    """The answer of the cache's lookup script."""
    if answer[0] == b"hit":
        return CacheHit(answer[1])
    return CacheLead() if answer[0] == b"lead" else CacheFollow(FOLLOW_POLL_S)


def read_scopes(answer: Sequence[Any]) -> list[ScopeState]:
    """All scopes, by name, with the caps that bind them."""
    totals = dict(_pairs(answer[0]))
    caps = {name: _cap(cap) for name, cap in _pairs(answer[1])}
    names = sorted(field[2:] for field in totals if field.startswith("r:"))
    return [
        ScopeState(
            scope,
            rules_budget.binding_cap(caps.get(name) for name in rules_budget.cap_names(scope)),
            int(totals.get(f"s:{scope}", 0)),
            int(totals.get(f"a:{scope}", 0)),
            int(totals[f"r:{scope}"]),
            frozen=f"f:{scope}" in totals,
        )
        for scope in names
    ]


def read_slots(flat: Sequence[bytes], after_slot: int) -> list[Slot]:
    """A model's limiter slots after `after_slot`."""
    slots = [Slot(int(start), *map(int, counted.split())) for start, counted in _pairs(flat)]
    return [slot for slot in slots if slot.start > after_slot]


class ModelReadout:
    """`ModelTables` as one script saw them. `limited` are the models whose slots were asked for."""

    def __init__(self, answer: Sequence[Any], limited: Sequence[str]) -> None:
        models, asked, slots = answer
        self._guards = {name: _guards(json.loads(stored)) for name, stored in _pairs(models)}
        self._asked = [name.decode() for name in asked]
        self._slots = dict(zip(limited, slots, strict=True))

    def guards(self, model: str) -> ModelGuards:
        return self._guards.get(model, UNSEEN)

    def model_names(self) -> list[str]:
        return [*self._guards, *self._asked]

    def use(self, model: str, after_slot: int) -> Use:
        counted = read_slots(self._slots.get(model, ()), after_slot)
        return Use(sum(slot.requests for slot in counted), sum(slot.tokens for slot in counted))


def _guards(stored: dict[str, Any]) -> ModelGuards:
    """What health needs; the probe and the error rate stay between the scripts."""
    breaker = Breaker(stored["state"], stored["faults"], stored["successes"], float(stored["opened_at"]))
    return ModelGuards(breaker, float(stored["paused_until"]))


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    return ((name.decode(), value) for name, value in zip(flat[::2], flat[1::2], strict=True))


def _cap(stored: bytes) -> int | None:
    return int(stored) if stored else None
