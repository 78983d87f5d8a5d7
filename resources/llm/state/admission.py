"""Admission: breaker, then limiter, then reserve; everything or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from resources.llm.state import rules_breaker, rules_budget, rules_limiter
from resources.llm.state.protocol import HOLD, Admitted, Intent, ModelLimits, Refused, StoreConfig, Verdict, Wait
from resources.llm.state.tables import GuardTables, ModelGuards, OpenIntent

UNLIMITED = ModelLimits()


def admit(tables: GuardTables, intent: Intent, config: StoreConfig, now: float) -> Verdict:
    """Ask all guards in order and write only once the last has agreed; asking again for an open intent is harmless.

    Raises:
        ConfigurationError: the intent's tokens alone are above the model's limit.
    """
    guards = tables.guards(intent.model)
    if tables.intent(intent.attempt_id) is not None:
        return Admitted(probe=guards.breaker.probe == intent.attempt_id)
    leave = rules_breaker.ask(guards.breaker, config.breaker, now)
    if isinstance(leave, Wait | Refused):
        return leave
    wait = _ask_limiter(tables, intent, guards, config, now)
    if wait is not None:
        return wait
    scopes = tuple(dict.fromkeys(intent.scopes))
    denial = rules_budget.ask([tables.scope(scope) for scope in scopes], intent.reserve_nano_usd)
    if denial is not None:
        return denial
    _hold(tables, intent, scopes, now)
    if leave == "probe":
        probing = rules_breaker.start_probe(guards.breaker, intent.attempt_id, intent.owner, now + config.lease_s)
        tables.put_guards(intent.model, replace(guards, breaker=probing))
    return Admitted(probe=leave == "probe")


def _ask_limiter(
    tables: GuardTables, intent: Intent, guards: ModelGuards, config: StoreConfig, now: float
) -> Wait | None:
    limits = config.limits.get(intent.model, UNLIMITED)
    rules_limiter.require_possible(intent.model, limits, intent.tokens)
    seconds = max(0.0, guards.paused_until - now)
    if limits != UNLIMITED:
        expired = rules_limiter.last_expired_slot(now)
        if not rules_limiter.fits(limits, tables.use(intent.model, expired), intent.tokens):
            slots = tables.slots(intent.model, expired)
            seconds = max(seconds, rules_limiter.seconds_until_fit(limits, slots, intent.tokens, now))
    return Wait(seconds, "rate_limited") if seconds > 0 else None


def hold_anew(tables: GuardTables, holds: Sequence[Intent]) -> None:
    """Open the intents that are not open, whatever the guards say. Their reserves still are to be counted."""
    for intent in holds:
        if tables.intent(intent.attempt_id) is None:
            tables.put_intent(_opened(intent, tuple(dict.fromkeys(intent.scopes)), slot=0))


def _hold(tables: GuardTables, intent: Intent, scopes: tuple[str, ...], now: float) -> None:
    slot = rules_limiter.slot_at(now)
    tables.count(intent.model, slot, intent.tokens, rules_limiter.last_expired_slot(now))
    for scope in scopes:
        tables.add(scope, 0, 0, intent.reserve_nano_usd)
    tables.put_intent(_opened(intent, scopes, slot))
    if not intent.owner.startswith(HOLD) and not tables.knows_owner(intent.owner):
        tables.see_owner(intent.owner, now)


def _opened(intent: Intent, scopes: tuple[str, ...], slot: int) -> OpenIntent:
    return OpenIntent(
        attempt_id=intent.attempt_id,
        model=intent.model,
        scopes=scopes,
        reserve_nano_usd=intent.reserve_nano_usd,
        tokens=intent.tokens,
        owner=intent.owner,
        record=intent.record,
        slot=slot,
    )
