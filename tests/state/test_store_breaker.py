"""The contract of the circuit breaker."""

from __future__ import annotations

import pytest

from resources.llm.state.protocol import (
    Admitted,
    BreakerChange,
    BreakerPolicy,
    ModelLimits,
    Refused,
    StoreConfig,
    Wait,
)

OPENED = BreakerChange("m", "closed", "open")


@pytest.fixture
def attempt(store, make_intent, settled):
    """Admit one attempt and settle it with the given health; what the settlement caused."""

    async def run(now: float, health: str = "success", charge: str = "settled"):
        intent = make_intent(100)
        assert isinstance(await store.admit(intent, now), Admitted)
        return await store.settle(settled(intent, 0, charge, health=health), now)

    return run


async def trip(attempt, now: float = 0) -> None:
    results = [await attempt(now, "fault") for _ in range(5)]
    assert [result.breaker for result in results] == [None] * 4 + [OPENED]


async def breaker_of(store, now: float) -> str:
    return next(state.breaker for state in await store.models(now) if state.model == "m")


async def test_five_faults_in_a_row_open_it_and_it_refuses_until_its_time_is_up(store, make_intent, attempt):
    await store.open(StoreConfig(), "a", 0)
    await trip(attempt, 10)
    refused = await store.admit(make_intent(), 69.9)
    assert isinstance(refused, Refused)
    assert refused.reason == "circuit_open"
    assert await breaker_of(store, 69.9) == "open"
    assert await store.admit(make_intent(model="other"), 69.9) == Admitted()
    assert await breaker_of(store, 70) == "half_open"
    assert await store.admit(make_intent(), 70) == Admitted(probe=True)


async def test_a_success_resets_the_count_and_a_neutral_outcome_does_not(store, attempt):
    await store.open(StoreConfig(), "a", 0)
    for health in ["fault"] * 4 + ["success"] + ["fault"] * 3 + ["neutral", "fault"]:
        assert (await attempt(0, health)).breaker is None
    assert (await attempt(0, "fault")).breaker == OPENED


async def test_half_open_lets_one_probe_through_at_a_time_and_closes_after_three(store, make_intent, settled, attempt):
    await store.open(StoreConfig(), "a", 0)
    await trip(attempt)
    for number in range(3):
        probe = make_intent()
        assert await store.admit(probe, 60) == Admitted(probe=True)
        other = await store.admit(make_intent(), 60)
        assert isinstance(other, Wait)
        assert other.cause == "probe_in_flight"
        result = await store.settle(settled(probe), 60)
        assert result.breaker == (BreakerChange("m", "half_open", "closed") if number == 2 else None)
    assert await store.admit(make_intent(), 60) == Admitted(probe=False)


async def test_a_fault_of_the_probe_reopens_it_for_the_whole_time(store, make_intent, attempt):
    await store.open(StoreConfig(), "a", 0)
    await trip(attempt)
    await attempt(60)
    assert (await attempt(61, "fault")).breaker == BreakerChange("m", "half_open", "open")
    assert isinstance(await store.admit(make_intent(), 120.9), Refused)
    for _ in range(2):
        assert (await attempt(121)).breaker is None
    assert (await attempt(121)).breaker == BreakerChange("m", "half_open", "closed")


async def test_a_neutral_probe_only_gives_its_place_back(store, make_intent, attempt):
    await store.open(StoreConfig(), "a", 0)
    await trip(attempt)
    await attempt(60)
    assert (await attempt(60, "neutral")).breaker is None
    await attempt(60)
    assert (await attempt(60)).breaker == BreakerChange("m", "half_open", "closed")


async def test_answers_to_attempts_sent_before_it_opened_are_old_news(store, make_intent, settled, attempt):
    await store.open(StoreConfig(), "a", 0)
    late = [make_intent() for _ in range(4)]
    for intent in late:
        await store.admit(intent, 0)
    await trip(attempt)
    for intent, health in zip(late, ["success", "fault"] * 2, strict=True):
        assert (await store.settle(settled(intent, health=health), 30)).breaker is None
    assert await breaker_of(store, 59) == "open"
    probe = make_intent()
    assert await store.admit(probe, 60) == Admitted(probe=True)
    assert await breaker_of(store, 60) == "half_open"


async def test_a_probe_not_renewed_for_the_lease_loses_its_place_and_its_say(store, make_intent, settled, attempt):
    await store.open(StoreConfig(lease_s=15), "a", 0)
    await trip(attempt)
    first, second = make_intent(), make_intent()
    await store.admit(first, 60)
    await store.renew("a", 70)
    assert isinstance(await store.admit(second, 84.9), Wait)
    assert await store.admit(second, 85) == Admitted(probe=True)
    assert (await store.settle(settled(first, health="fault"), 86)).breaker is None
    assert isinstance(await store.admit(make_intent(), 86), Wait)


async def test_a_dead_owner_gives_its_probe_back(store, make_intent, attempt):
    await store.open(StoreConfig(lease_s=100), "b", 0)
    await store.open(StoreConfig(lease_s=100), "a", 50)
    await trip(attempt)
    await store.admit(make_intent(owner="b"), 60)
    assert isinstance(await store.admit(make_intent(), 99), Wait)
    await store.renew("a", 100)
    assert await store.admit(make_intent(), 100) == Admitted(probe=True)


async def test_a_probe_that_a_later_guard_denies_is_not_used_up(store, make_intent, settled, attempt):
    config = StoreConfig({"org": 1000}, {"m": ModelLimits(tokens_per_minute=100)})
    await store.open(config, "a", 0)
    await trip(attempt)
    assert isinstance(await store.admit(make_intent(tokens=90), 60), Wait)
    assert await breaker_of(store, 60) == "half_open"
    assert isinstance(await store.admit(make_intent(2000), 70), Refused)
    assert await store.admit(make_intent(), 70) == Admitted(probe=True)


async def test_a_breaker_moved_by_hand(store, make_intent):
    await store.open(StoreConfig(), "a", 0)
    assert await store.set_breaker("m", "open", 100) == OPENED
    assert await store.set_breaker("m", "open", 110) is None
    assert isinstance(await store.admit(make_intent(), 169), Refused)
    assert await store.set_breaker("m", "closed", 170) == BreakerChange("m", "open", "closed")
    assert await store.admit(make_intent(), 170) == Admitted()


async def test_an_error_rate_over_a_window_opens_it_too(store, attempt):
    policy = BreakerPolicy(error_rate=0.5, error_rate_window_s=60, error_rate_min_calls=10)
    await store.open(StoreConfig(breaker=policy), "a", 0)
    for now in range(8):
        await attempt(now, "fault" if now % 2 else "success")
    assert (await attempt(8)).breaker is None
    assert (await attempt(9, "fault")).breaker == OPENED


async def test_the_error_rate_forgets_what_is_older_than_its_window(store, attempt):
    policy = BreakerPolicy(error_rate=0.5, error_rate_window_s=60, error_rate_min_calls=10)
    await store.open(StoreConfig(breaker=policy), "a", 0)
    for _ in range(4):
        await attempt(0, "fault")
    for now in range(70, 80):
        assert (await attempt(now, "fault" if now > 76 else "success")).breaker is None
