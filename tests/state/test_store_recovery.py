"""The contract of owners: heartbeats, and what happens to the work of those that fall silent."""

from __future__ import annotations

import json

from resources.llm.state.protocol import Admitted, ScopeState, StoreConfig

CONFIG = StoreConfig({"org": 1000}, lease_s=15)


async def test_a_silent_owners_intents_are_booked_ambiguous_once(store, make_intent, settled):
    await store.open(CONFIG, "a", 0)
    await store.open(CONFIG, "b", 0)
    lost, kept = make_intent(100, owner="b"), make_intent(30, owner="a")
    await store.admit(lost, 0)
    await store.admit(kept, 0)
    await store.renew("a", 14.9)
    assert await store.take_outbox(10) == []
    for now in (15, 16):
        await store.renew("a", now)
    assert await store.scopes() == [ScopeState("org", 1000, 0, 100, 30, frozen=False)]
    ((attempt_id, record),) = await store.take_outbox(10)
    assert attempt_id == lost.attempt_id
    assert json.loads(record) == {
        "attempt_id": lost.attempt_id, "charge": "ambiguous", "cost_nano_usd": 100, "outcome": "lost"
    }  # fmt: skip
    await store.settle(settled(lost, 10), 17)
    assert await store.scopes() == [ScopeState("org", 1000, 0, 100, 30, frozen=False)]
    assert len(await store.take_outbox(10)) == 1


async def test_opening_books_what_the_dead_left(store, make_intent):
    await store.open(CONFIG, "b", 0)
    await store.admit(make_intent(100, owner="b"), 0)
    await store.open(CONFIG, "a", 100)
    assert await store.scopes() == [ScopeState("org", 1000, 0, 100, 0, frozen=False)]


async def test_an_owner_that_renews_in_time_keeps_its_intents(store, make_intent):
    await store.open(CONFIG, "a", 0)
    await store.open(CONFIG, "b", 0)
    await store.admit(make_intent(100, owner="b"), 0)
    for now in (10, 20, 30):
        await store.renew("b", now)
        await store.renew("a", now)
    assert await store.take_outbox(10) == []


async def test_an_owner_that_was_given_up_can_come_back(store, make_intent, settled):
    await store.open(CONFIG, "a", 0)
    await store.open(CONFIG, "b", 0)
    await store.renew("a", 100)
    late = make_intent(100, owner="b")
    assert await store.admit(late, 100) == Admitted()
    await store.renew("a", 101)
    await store.settle(settled(late, 40), 101)
    assert await store.scopes() == [ScopeState("org", 1000, 40, 0, 0, frozen=False)]


async def test_closing_books_what_was_left_open(store, make_intent):
    await store.open(CONFIG, "a", 0)
    await store.open(CONFIG, "b", 0)
    await store.admit(make_intent(100, owner="b"), 0)
    await store.admit(make_intent(30, owner="a"), 0)
    await store.close("b", 1)
    await store.close("b", 2)
    assert await store.scopes() == [ScopeState("org", 1000, 0, 100, 30, frozen=False)]
    assert len(await store.take_outbox(10)) == 1
