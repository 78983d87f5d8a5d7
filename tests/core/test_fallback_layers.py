from __future__ import annotations

import pytest
from core.asking import ask, charged_to
from core.conftest import MODEL, OpenBench
from core.scripted import Reply, ScriptedProvider

from domain.errors import FaultClass, ProviderError, UnansweredError
from resources.llm.events import BreakerChanged, CallFinished

OTHER = "scripted/other"
FALLBACK = {"models": {MODEL: [OTHER]}, "canned": {"greeting": "We are busy."}}


def _down(model: str) -> object:
    return lambda request: Reply(fault=FaultClass.SERVER) if request.model == model else Reply("from the other")


async def test_another_model_answers_first(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(fallback=FALLBACK)
    provider.otherwise = _down(MODEL)  # pyright: ignore
    done = await b.llm.complete(ask(), charged_to("org"))
    assert (done.status, done.model, done.text, done.attempts) == ("ok", OTHER, "from the other", 4)
    (call,) = await b.calls()
    assert (call.requested_model, call.model) == (MODEL, OTHER)


async def test_then_the_familys_canned_answer(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(fallback=FALLBACK)
    provider.otherwise = lambda _request: Reply(fault=FaultClass.SERVER)
    done = await b.llm.complete(ask(), charged_to("org", prompt_family="greeting"))
    assert (done.status, done.reason, done.text, done.model) == ("fallback", "provider_error", "We are busy.", MODEL)
    (call,) = await b.calls()
    assert (call.status, call.reason, call.model) == ("fallback", "provider_error", None)


async def test_then_an_empty_one_that_says_so(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.otherwise = lambda _request: Reply(fault=FaultClass.SERVER)
    done = await b.llm.complete(ask(), charged_to("org", prompt_family="greeting"))
    assert (done.status, done.text) == ("fallback", "")


async def test_without_leave_nothing_stands_in(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(fallback=FALLBACK)
    provider.otherwise = _down(MODEL)  # pyright: ignore
    with pytest.raises(UnansweredError) as caught:
        await b.llm.complete(ask(), charged_to("org", allow_fallback=False, prompt_family="greeting"))
    assert caught.value.reason == "provider_error"
    assert {request.model for request in provider.sent} == {MODEL}
    assert b.of(CallFinished)[0].reason == "provider_error"


async def test_no_room_for_the_dear_model_may_be_room_for_the_cheap_one(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    prices = {
        MODEL: {"input_per_million": "100", "output_per_million": "400"},
        OTHER: {"input_per_million": "0.1", "output_per_million": "0.4"},
    }
    b = await bench(fallback=FALLBACK, prices=prices, budgets={"task:t": "0.001"})
    done = await b.llm.complete(ask(), charged_to("task:t"))
    assert (done.status, done.model) == ("ok", OTHER)
    done = await b.llm.complete(ask(), charged_to("task:t", allow_fallback=True, prompt_family="greeting"))
    assert done.model == OTHER


@pytest.mark.parametrize("fault", [FaultClass.INVALID_REQUEST, FaultClass.AUTHENTICATION, FaultClass.REFUSED])
async def test_the_callers_error_reaches_the_caller(
    bench: OpenBench, provider: ScriptedProvider, fault: FaultClass
) -> None:
    b = await bench(fallback=FALLBACK)
    provider.replies.append(Reply(fault=fault))
    with pytest.raises(ProviderError) as caught:
        await b.llm.complete(ask(), charged_to("org", prompt_family="greeting"))
    assert caught.value.fault is fault
    assert len(provider.sent) == 1


@pytest.mark.parametrize("fault", [FaultClass.INVALID_REQUEST, FaultClass.AUTHENTICATION, FaultClass.REFUSED])
async def test_a_stand_ins_own_error_is_not_the_callers(
    bench: OpenBench, provider: ScriptedProvider, fault: FaultClass
) -> None:
    chain = {MODEL: [OTHER, "backup/third"]}
    b = await bench(fallback={**FALLBACK, "models": chain}, retry={"max_attempts": 1})
    faults = {MODEL: FaultClass.SERVER, OTHER: fault}
    provider.otherwise = lambda request: Reply("from the third", fault=faults.get(request.model))
    done = await b.llm.complete(ask(), charged_to("org", prompt_family="greeting"))
    assert (done.status, done.text, done.model) == ("ok", "from the third", "backup/third")
    faults["backup/third"] = fault
    done = await b.llm.complete(ask(), charged_to("org", prompt_family="greeting"))
    assert (done.status, done.reason, done.text) == ("fallback", "provider_error", "We are busy.")


async def test_a_stand_in_that_is_not_configured_is_passed_over_and_named(
    bench: OpenBench, provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    chain = {MODEL: ["scripted/unpriced", OTHER]}
    b = await bench(fallback={**FALLBACK, "models": chain}, budgets={"day": "1"})
    provider.otherwise = _down(MODEL)  # pyright: ignore
    done = await b.llm.complete(ask(), charged_to("day"))
    assert (done.status, done.model) == ("ok", OTHER)
    assert "scripted/unpriced cannot stand in" in caplog.text
    assert "no known price" in caplog.text


async def test_a_fallback_is_neither_cached_nor_a_success_for_the_breaker(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(fallback=FALLBACK, retry={"max_attempts": 1}, breaker={"consecutive_faults": 2})
    provider.otherwise = lambda _request: Reply(fault=FaultClass.SERVER)
    request = ask(temperature=0.0)
    for _ in range(4):
        done = await b.llm.complete(request, charged_to("org", prompt_family="greeting"))
        assert (done.status, done.cached) == ("fallback", False)
    assert {event.after for event in b.of(BreakerChanged)} == {"open"}
    assert (await b.llm.health()).cache.entries == 0  # pyright: ignore


async def test_the_other_models_answer_is_not_kept_as_the_asked_ones(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(fallback=FALLBACK, retry={"max_attempts": 1})
    provider.replies.append(Reply(fault=FaultClass.SERVER))
    request = ask(temperature=0.0)
    first = await b.llm.complete(request, charged_to("org"))
    second = await b.llm.complete(request, charged_to("org"))
    assert (first.model, second.model, second.cached) == (OTHER, MODEL, False)
