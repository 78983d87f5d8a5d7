"""What a provider's batch job holds: no process owns it, the ledger's lines are not the store's to write."""

from __future__ import annotations

import pytest

from resources.llm.state.protocol import HOLD, Admitted, Charge, Intent, Refused, Settlement, StoreConfig, Wait

CONFIG = StoreConfig(caps_nano_usd={"org": 1000}, lease_s=15)


def hold(reserve: int = 600, name: str = "j1") -> Intent:
    return Intent(f"job-{name}", "batch:m", ("org", "task:t"), reserve, 0, f"{HOLD}{name}", "")


def ending(name: str = "j1", cost: int = 0, charge: Charge = "settled", lost: int = 0) -> Settlement:
    return Settlement(f"job-{name}", charge, cost, None, "neutral", "", also_ambiguous_nano_usd=lost)


async def totals(store, scope: str = "org") -> tuple[int, int, int]:
    states = {one.scope: one for one in await store.scopes()}
    held = states[scope]
    return held.settled_nano_usd, held.ambiguous_nano_usd, held.reserved_nano_usd


async def test_a_hold_outlives_its_maker_and_keeps_others_out(store, make_intent):
    await store.open(CONFIG, "a", 100.0)
    assert await store.admit(hold(), 100.0) == Admitted()
    assert await store.admit(hold(), 100.0) == Admitted()
    await store.close("a", 101.0)
    await store.open(CONFIG, "b", 100_000.0)
    await store.renew("b", 200_000.0)
    assert await totals(store) == (0, 0, 600)
    assert await store.take_outbox(10) == []
    assert isinstance(await store.admit(make_intent(500, owner="b"), 200_000.0), Wait)
    assert isinstance(await store.admit(hold(1001, "j2"), 200_000.0), Refused)


async def test_a_hold_is_settled_once_and_leaves_no_record(store):
    await store.open(CONFIG, "a", 100.0)
    await store.admit(hold(), 100.0)
    await store.settle(ending(cost=200, lost=50), 5000.0)
    await store.settle(ending(cost=200, lost=50), 5001.0)
    assert await totals(store) == await totals(store, "task:t") == (200, 50, 0)
    assert await store.take_outbox(10) == []
    await store.admit(hold(name="j2"), 5002.0)
    await store.settle(ending("j2", charge="free"), 5003.0)
    assert await totals(store) == (200, 50, 0)


@pytest.mark.parametrize("charge", ["settled", "overrun"])
async def test_a_job_that_costs_more_than_it_held_freezes(store, charge: Charge):
    await store.open(CONFIG, "a", 100.0)
    await store.admit(hold(), 100.0)
    result = await store.settle(ending(cost=700, charge=charge), 200.0)
    assert result.frozen_scopes == ("org",)
    assert await totals(store) == (700, 0, 0)
    assert await store.take_outbox(10) == []


async def test_a_store_that_lost_its_memory_gets_holds_back_in_one_step(store, make_intent):
    await store.open(CONFIG, "a", 100.0)
    await store.rebuild([("org", 300, 20)], [hold()])
    await store.rebuild([("org", 300, 20)], [hold()])
    assert await totals(store) == (300, 20, 600)
    assert isinstance(await store.admit(make_intent(100), 100.0), Wait)
    await store.reclaim()  # nothing that this process has under way was lost
    assert await totals(store) == (300, 20, 600)
    await store.settle(ending(cost=150), 200.0)
    assert await totals(store) == (450, 20, 0)


async def test_open_attempts_are_those_that_nobody_settled(store, make_intent, settled):
    await store.open(CONFIG, "a", 100.0)
    await store.open(CONFIG, "b", 100.0)
    mine, other = make_intent(10), make_intent(10, owner="b")
    for intent in (hold(), mine, other):
        await store.admit(intent, 100.0)
    assert sorted(await store.open_attempts()) == [("a", mine.record), ("b", other.record), (f"{HOLD}j1", "")]
    await store.settle(settled(mine, 10), 101.0)
    await store.settle(ending(), 101.0)
    assert await store.open_attempts() == [("b", other.record)]
