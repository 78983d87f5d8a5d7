"""The contract of the rate limiter."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError
from resources.llm.state.protocol import Admitted, ModelLimits, ModelState, Refused, StoreConfig, Wait


def limited(requests: int | None = None, tokens: int | None = None) -> StoreConfig:
    return StoreConfig({"org": 10_000}, {"m": ModelLimits(requests, tokens)})


async def test_requests_above_the_limit_wait_as_long_as_they_are_told(store, make_intent):
    await store.open(limited(requests=2), "a", 0)
    for now in (1000.5, 1010.5):
        assert await store.admit(make_intent(), now) == Admitted()
    waiting = await store.admit(make_intent(), 1020)
    assert isinstance(waiting, Wait)
    assert waiting.cause == "rate_limited"
    assert 60 < 1020 + waiting.seconds - 1000.5 <= 62
    assert await store.admit(make_intent(), 1020 + waiting.seconds) == Admitted()
    assert isinstance(await store.admit(make_intent(), 1020 + waiting.seconds), Wait)


async def test_tokens_are_limited_and_corrected_to_what_was_used(store, make_intent, settled):
    await store.open(limited(tokens=100), "a", 0)
    intent = make_intent(tokens=80)
    await store.admit(intent, 0)
    assert isinstance(await store.admit(make_intent(tokens=30), 1), Wait)
    await store.settle(settled(intent, tokens_used=70), 2)
    assert await store.admit(make_intent(tokens=30), 2) == Admitted()
    assert isinstance(await store.admit(make_intent(tokens=1), 3), Wait)


async def test_unknown_token_counts_keep_the_worst_case(store, make_intent, settled):
    await store.open(limited(tokens=100), "a", 0)
    intent = make_intent(tokens=80)
    await store.admit(intent, 0)
    await store.settle(settled(intent, tokens_used=None), 1)
    assert isinstance(await store.admit(make_intent(tokens=30), 1), Wait)


async def test_a_late_correction_of_an_expired_slot_changes_nothing(store, make_intent, settled):
    await store.open(limited(tokens=100), "a", 0)
    old = make_intent(tokens=100)
    await store.admit(old, 0)
    assert await store.admit(make_intent(tokens=100), 62) == Admitted()
    await store.settle(settled(old, tokens_used=1), 63)
    assert isinstance(await store.admit(make_intent(tokens=1), 63), Wait)


async def test_models_do_not_share_a_limit(store, make_intent):
    await store.open(limited(requests=1), "a", 0)
    assert await store.admit(make_intent(), 0) == Admitted()
    assert await store.admit(make_intent(model="other"), 0) == Admitted()
    assert await store.admit(make_intent(model="other"), 0) == Admitted()


async def test_a_request_that_can_never_fit_is_an_error(store, make_intent):
    await store.open(limited(tokens=100), "a", 0)
    with pytest.raises(ConfigurationError, match=r"101 tokens.*Mend:"):
        await store.admit(make_intent(tokens=101), 0)
    assert await store.scopes() == []


async def test_a_request_the_budget_denies_uses_no_tokens(store, make_intent):
    await store.open(limited(requests=1, tokens=10), "a", 0)
    assert isinstance(await store.admit(make_intent(20_000), 0), Refused)
    assert await store.admit(make_intent(tokens=10), 0) == Admitted()


async def test_a_pause_shuts_the_model_even_without_a_limit(store, make_intent, settled):
    await store.open(StoreConfig(), "a", 0)
    intent = make_intent()
    await store.admit(intent, 0)
    await store.settle(settled(intent, charge="free", health="neutral", pause_s=20), 5)
    (model,) = await store.models(10)
    assert model.paused_until == 25
    assert await store.admit(make_intent(), 10) == Wait(15, "rate_limited")
    assert await store.admit(make_intent(model="other"), 10) == Admitted()
    assert await store.admit(make_intent(), 25) == Admitted()


async def test_an_answer_pauses_the_model_as_an_error_does(store, make_intent, settled):
    await store.open(limited(requests=9), "a", 0)
    intent = make_intent()
    await store.admit(intent, 0)
    await store.settle(settled(intent, 5, health="success", tokens_used=4, pause_s=20), 5)
    assert await store.admit(make_intent(), 10) == Wait(15, "rate_limited")
    assert await store.admit(make_intent(), 25) == Admitted()


async def test_a_shorter_pause_does_not_end_a_longer_one(store, make_intent, settled):
    await store.open(StoreConfig(), "a", 0)
    first, second = make_intent(), make_intent()
    await store.admit(first, 0)
    await store.admit(second, 0)
    await store.settle(settled(first, charge="free", health="neutral", pause_s=20), 0)
    await store.settle(settled(second, charge="free", health="neutral", pause_s=1), 0)
    assert await store.admit(make_intent(), 10) == Wait(10, "rate_limited")


async def test_what_is_left_is_shown_for_limited_models_before_they_are_asked(store, make_intent):
    await store.open(limited(requests=4, tokens=100), "a", 0)
    await store.admit(make_intent(model="free"), 0)
    assert await store.models(0) == [
        ModelState("free", "closed", 0, None, None, None),
        ModelState("m", "closed", 0, 1.0, 1.0, None),
    ]
    await store.admit(make_intent(tokens=90), 0)
    (_, model) = await store.models(0)
    assert model.requests_left == pytest.approx(0.75)
    assert model.tokens_left == pytest.approx(0.1)


@pytest.mark.parametrize("limit", [1, 7, 300])
async def test_a_greedy_caller_uses_95_percent_and_never_exceeds_any_60_s(store, make_intent, limit):
    await store.open(limited(requests=limit), "a", 0)
    await store.set_cap("org", None)
    now, start, sent = 1000.3, 1000.3, []
    while now < start + 1200:
        verdict = await store.admit(make_intent(0), now)
        if isinstance(verdict, Wait):
            now += verdict.seconds
        else:
            sent.append(now)
    assert len(sent) >= 0.95 * limit * 1200 / 60
    assert all(later - earlier > 60 for earlier, later in zip(sent, sent[limit:], strict=False))
