"""The contract of admission and settlement, as far as money is concerned."""

from __future__ import annotations

import json

import pytest

from resources.llm.state.protocol import Admitted, Refused, ScopeState, StoreConfig, Wait

HELD = "budget_held"


async def state_of(store, scope: str) -> ScopeState:
    return next(state for state in await store.scopes() if state.scope == scope)


async def test_a_reserve_is_held_in_every_scope(store, make_intent):
    await store.open(StoreConfig({"org": 1000, "task:x": 500}), "a", 0)
    assert await store.admit(make_intent(100, ("org", "task:x", "run:1")), 0) == Admitted()
    assert await store.scopes() == [
        ScopeState("org", 1000, 0, 0, 100, frozen=False),
        ScopeState("run:1", None, 0, 0, 100, frozen=False),
        ScopeState("task:x", 500, 0, 0, 100, frozen=False),
    ]


async def test_a_scope_that_does_not_fit_leaves_the_others_alone(store, make_intent):
    await store.open(StoreConfig({"org": 1000, "task:x": 50}), "a", 0)
    verdict = await store.admit(make_intent(100, ("org", "task:x")), 0)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "budget_exhausted"
    assert "task:x" in verdict.detail
    assert await store.scopes() == []


async def test_other_reservations_make_a_call_wait_and_spending_refuses_it(store, make_intent, settled):
    await store.open(StoreConfig({"org": 150}), "a", 0)
    first = make_intent(100)
    await store.admit(first, 0)
    waiting = await store.admit(make_intent(100), 0)
    assert isinstance(waiting, Wait)
    assert waiting.cause == HELD
    assert 0 < waiting.seconds <= 1
    await store.settle(settled(first, 50), 0)
    assert await store.admit(make_intent(100), 0) == Admitted()
    assert isinstance(await store.admit(make_intent(101), 0), Refused)


async def test_a_refusal_in_one_scope_outweighs_a_wait_in_another(store, make_intent):
    await store.open(StoreConfig({"org": 150, "task:x": 20}), "a", 0)
    await store.admit(make_intent(100), 0)
    assert isinstance(await store.admit(make_intent(100, ("org", "task:x")), 0), Refused)


async def test_the_whole_cap_can_be_used_and_not_one_nano_more(store, make_intent, settled):
    await store.open(StoreConfig({"org": 300}), "a", 0)
    for _ in range(3):
        intent = make_intent(100)
        assert await store.admit(intent, 0) == Admitted()
        await store.settle(settled(intent, 100), 0)
    assert isinstance(await store.admit(make_intent(1), 0), Refused)


async def test_a_scope_named_twice_is_charged_once(store, make_intent):
    await store.open(StoreConfig({"org": 150}), "a", 0)
    assert await store.admit(make_intent(100, ("org", "org")), 0) == Admitted()
    assert (await state_of(store, "org")).reserved_nano_usd == 100


async def test_asking_again_for_an_open_attempt_reserves_nothing_more(store, make_intent):
    await store.open(StoreConfig({"org": 150}), "a", 0)
    intent = make_intent(100)
    assert await store.admit(intent, 0) == await store.admit(intent, 0) == Admitted()
    assert (await state_of(store, "org")).reserved_nano_usd == 100


@pytest.mark.parametrize(
    ("charge", "cost", "settled_total", "ambiguous_total"),
    [("settled", 40, 40, 0), ("ambiguous", 100, 0, 100), ("ambiguous", 7, 0, 100), ("free", 0, 0, 0)],
)
async def test_each_charge_books_its_amount(store, make_intent, settled, charge, cost, settled_total, ambiguous_total):
    await store.open(StoreConfig({"org": 1000}), "a", 0)
    intent = make_intent(100)
    await store.admit(intent, 0)
    await store.settle(settled(intent, cost, charge), 0)
    assert await state_of(store, "org") == ScopeState("org", 1000, settled_total, ambiguous_total, 0, frozen=False)


async def test_an_attempt_is_settled_once(store, make_intent, settled):
    await store.open(StoreConfig({"org": 1000}), "a", 0)
    intent = make_intent(100)
    await store.admit(intent, 0)
    await store.settle(settled(intent, 40), 0)
    again = await store.settle(settled(intent, 90, "ambiguous", health="fault"), 0)
    assert again.breaker is None
    assert await state_of(store, "org") == ScopeState("org", 1000, 40, 0, 0, frozen=False)
    assert len(await store.take_outbox(10)) == 1
    (model,) = await store.models(0)
    assert model.consecutive_faults == 0


async def test_an_attempt_never_admitted_cannot_be_settled(store, make_intent, settled):
    await store.open(StoreConfig(), "a", 0)
    await store.settle(settled(make_intent(100), 40), 0)
    assert await store.scopes() == []
    assert await store.take_outbox(10) == []


@pytest.mark.parametrize("charge", ["overrun", "settled"])
async def test_a_bill_above_the_reserve_is_booked_in_full_and_freezes_the_capped_scopes(
    store, make_intent, settled, charge
):
    await store.open(StoreConfig({"org": 1000, "task:x": 200}), "a", 0)
    intent = make_intent(100, ("org", "task:x", "run:1"))
    await store.admit(intent, 0)
    result = await store.settle(settled(intent, 250, charge), 0)
    assert set(result.frozen_scopes) == {"org", "task:x"}
    assert (await state_of(store, "run:1")).frozen is False
    assert await state_of(store, "task:x") == ScopeState("task:x", 200, 250, 0, 0, frozen=True)
    refused = await store.admit(make_intent(1), 0)
    assert isinstance(refused, Refused)
    assert "frozen" in refused.detail
    ((_, record),) = await store.take_outbox(1)
    assert json.loads(record)["charge"] == "overrun"


async def test_unfreezing_lets_a_scope_admit_again_within_its_cap(store, make_intent, settled):
    await store.open(StoreConfig({"org": 1000, "task:x": 200}), "a", 0)
    intent = make_intent(100, ("org", "task:x"))
    await store.admit(intent, 0)
    await store.settle(settled(intent, 250, "overrun"), 0)
    await store.unfreeze("org")
    await store.unfreeze("task:x")
    assert await store.admit(make_intent(100), 0) == Admitted()
    assert isinstance(await store.admit(make_intent(1, ("task:x",)), 0), Refused)


@pytest.mark.parametrize(
    ("name", "window", "other_window"),
    [("day", "day:2026-11-22", "day:2026-11-23"), ("month", "month:2026-11", "month:2026-12")],
)
async def test_a_windowed_cap_binds_each_window_by_itself(store, make_intent, name, window, other_window):
    await store.open(StoreConfig({name: 100}), "a", 0)
    assert await store.admit(make_intent(100, (window,)), 0) == Admitted()
    assert isinstance(await store.admit(make_intent(100, (window,)), 0), Wait)
    assert await store.admit(make_intent(100, (other_window,)), 0) == Admitted()


async def test_the_capped_windows_are_those_that_a_cap_binds(store, make_intent):
    caps = {"org": 1000, "day": 2000, "month:2026-11": 50, "run:1": 700, "run:unused": 5}
    await store.open(StoreConfig(caps_nano_usd=caps), "a", 0.0)
    windows = ("org", "day:2026-11-22", "month:2026-11", "run:1", "run:2", "day:", "daytime:x")
    await store.admit(make_intent(20, windows), 0.0)
    await store.set_cap("run:1", None)
    found = {each.scope: each.cap_nano_usd for each in await store.capped_scopes()}
    assert found == {"org": 1000, "day:2026-11-22": 2000, "month:2026-11": 50}
    every = await store.scopes()
    assert [each for each in every if each.cap_nano_usd is not None] == await store.capped_scopes()
    assert [each.scope for each in every] == sorted(windows)


async def test_other_names_are_matched_whole(store, make_intent):
    await store.open(StoreConfig({"task": 1, "task:x": 200}), "a", 0)
    assert await store.admit(make_intent(100, ("task:x", "task:y")), 0) == Admitted()


async def test_a_window_capped_twice_obeys_the_lower_cap(store, make_intent):
    await store.open(StoreConfig({"day": 100}), "a", 0)
    await store.set_cap("day:2026-11-22", 50)
    assert isinstance(await store.admit(make_intent(60, ("day:2026-11-22",)), 0), Refused)
    assert await store.admit(make_intent(60, ("day:2026-11-23",)), 0) == Admitted()


async def test_a_cap_binds_from_the_next_admission_on(store, make_intent):
    await store.open(StoreConfig({"org": 1000}), "a", 0)
    await store.admit(make_intent(100), 0)
    await store.set_cap("org", 150)
    assert isinstance(await store.admit(make_intent(100), 0), Wait)
    await store.set_cap("org", None)
    assert await store.admit(make_intent(100), 0) == Admitted()


async def test_a_cap_set_by_hand_survives_the_next_process_with_the_same_settings(store, make_intent):
    await store.open(StoreConfig({"org": 1000}), "a", 0)
    await store.set_cap("org", 50)
    await store.open(StoreConfig({"org": 1000}), "b", 0)
    assert isinstance(await store.admit(make_intent(100), 0), Refused)
    await store.open(StoreConfig({"org": 2000}), "b", 0)
    assert await store.admit(make_intent(100), 0) == Admitted()


async def test_caps_that_a_second_process_does_not_name_stay(store, make_intent):
    await store.open(StoreConfig({"org": 50}), "a", 0)
    await store.open(StoreConfig({"task:x": 10}), "b", 0)
    assert isinstance(await store.admit(make_intent(100), 0), Refused)


async def test_the_outbox_keeps_records_in_order_until_they_are_acknowledged(store, make_intent, settled):
    await store.open(StoreConfig(), "a", 0)
    intents = [make_intent(10) for _ in range(4)]
    for intent in intents:
        await store.admit(intent, 0)
    for intent in reversed(intents):
        await store.settle(settled(intent, 5), 0)
    expected = [intent.attempt_id for intent in reversed(intents)]
    taken = await store.take_outbox(3)
    assert [attempt_id for attempt_id, _ in taken] == expected[:3]
    assert json.loads(taken[0][1]) == {
        "attempt_id": expected[0], "charge": "settled", "cost_nano_usd": 5, "outcome": "ok"
    }  # fmt: skip
    await store.acknowledge_outbox([*expected[:3], "unknown"])
    await store.acknowledge_outbox(expected[:1])
    assert [attempt_id for attempt_id, _ in await store.take_outbox(3)] == expected[3:]


async def test_rebuild_replaces_totals_and_keeps_open_reserves(store, make_intent, settled):
    await store.open(StoreConfig({"org": 1000}), "a", 0)
    done = make_intent(100, ("org", "task:old"))
    await store.admit(done, 0)
    await store.settle(settled(done, 60), 0)
    await store.admit(make_intent(100, ("org", "run:1")), 0)
    await store.rebuild([("org", 700, 50), ("task:new", 5, 0)])
    assert await store.scopes() == [
        ScopeState("org", 1000, 700, 50, 100, frozen=False),
        ScopeState("run:1", None, 0, 0, 100, frozen=False),
        ScopeState("task:new", None, 5, 0, 0, frozen=False),
        ScopeState("task:old", None, 0, 0, 0, frozen=False),
    ]
    assert isinstance(await store.admit(make_intent(200), 0), Wait)
    assert isinstance(await store.admit(make_intent(251), 0), Refused)


async def test_the_caps_that_hold_are_known_before_anything_is_charged(store):
    await store.open(StoreConfig({"day": 100, "org": 7}), "a", 0)
    await store.set_cap("task:x", 5)
    await store.set_cap("org", None)

    assert await store.caps() == {"day": 100, "task:x": 5}
