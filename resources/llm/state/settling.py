"""Settlement of attempts, and recovery of those whose maker died."""

from __future__ import annotations

from dataclasses import replace

from resources.llm.state import rules_breaker, rules_budget
from resources.llm.state.protocol import BreakerChange, Settlement, SettleResult, StoreConfig
from resources.llm.state.tables import GuardTables, ModelGuards, OpenIntent


def settle(tables: GuardTables, settlement: Settlement, config: StoreConfig, now: float) -> SettleResult:
    """Turn an open intent into its charge; without an open intent nothing changes."""
    held = tables.intent(settlement.attempt_id)
    if held is None:
        return SettleResult()
    booking = rules_budget.book(held.reserve_nano_usd, settlement)
    for scope in held.scopes:
        tables.add(scope, booking.settled_nano_usd, booking.ambiguous_nano_usd, -held.reserve_nano_usd)
    frozen = _freeze(tables, held.scopes) if booking.overrun else ()
    tables.drop_intent(held.attempt_id)
    if booking.record:
        tables.put_record(held.attempt_id, booking.record)
    if settlement.tokens_used is not None and settlement.tokens_used != held.tokens:
        tables.correct_tokens(held.model, held.slot, settlement.tokens_used - held.tokens)
    return SettleResult(_teach(tables, held.model, settlement, config, now), frozen)


def recover(tables: GuardTables, config: StoreConfig, now: float) -> list[str]:
    """Book what dead owners left open and deregister them; their names, so that their leads can be released."""
    dead = tables.dead_owners(now - config.lease_s)
    for owner in dead:
        book_lost(tables, owner)
        tables.drop_owner(owner)
    return dead


def book_lost(tables: GuardTables, owner: str) -> None:
    """Keep the reserve of each open intent of `owner` as ambiguous and let go of its probes."""
    for held in tables.intents_of(owner):
        reserve = held.reserve_nano_usd
        record = rules_budget.lost_record(held.record, reserve)
        for scope in held.scopes:
            tables.add(scope, 0, reserve, -reserve)
        tables.drop_intent(held.attempt_id)
        tables.put_record(held.attempt_id, record)
        _release_probe(tables, held)


def _freeze(tables: GuardTables, scopes: tuple[str, ...]) -> tuple[str, ...]:
    states = [tables.scope(scope) for scope in scopes]
    frozen = tuple(state.scope for state in states if state.cap_nano_usd is not None and not state.frozen)
    for scope in frozen:
        tables.set_frozen(scope, True)
    return frozen


def _teach(
    tables: GuardTables, model: str, settlement: Settlement, config: StoreConfig, now: float
) -> BreakerChange | None:
    before = tables.guards(model)
    after = ModelGuards(
        rules_breaker.learn(before.breaker, config.breaker, settlement.attempt_id, settlement.health, now),
        max(before.paused_until, now + settlement.pause_s) if settlement.pause_s > 0 else before.paused_until,
    )
    if after == before:
        return None
    tables.put_guards(model, after)
    if after.breaker.state == before.breaker.state:
        return None
    return BreakerChange(model, before.breaker.state, after.breaker.state)


def _release_probe(tables: GuardTables, held: OpenIntent) -> None:
    guards = tables.guards(held.model)
    released = rules_breaker.release_probe(guards.breaker, held.attempt_id)
    if released is not guards.breaker:
        tables.put_guards(held.model, replace(guards, breaker=released))
