from __future__ import annotations

import random

import pytest
from core.asking import ask, charged_to
from core.conftest import OpenBench
from core.scripted import Reply, ScriptedProvider, VirtualTime

from domain.errors import FAULT_RULES, FaultClass, ProviderError, UnansweredError
from resources.llm.call import Call, Timing
from resources.llm.events import AttemptFinished, BreakerChanged
from resources.llm.retry import RetryLayer
from resources.llm.settings import RetrySettings
from resources.llm.types import CallContext, Completion, Request

NO_FALLBACK = {"allow_fallback": False}


@pytest.mark.parametrize("fault", list(FaultClass))
async def test_only_what_the_table_calls_retryable_is_repeated(
    bench: OpenBench, provider: ScriptedProvider, fault: FaultClass
) -> None:
    b = await bench()
    provider.otherwise = lambda _request: Reply(fault=fault)
    expected = UnansweredError if FAULT_RULES[fault].retryable else ProviderError
    with pytest.raises(expected):
        await b.llm.complete(ask(), charged_to("org", deadline_s=600.0, **NO_FALLBACK))
    assert len(provider.sent) == (3 if FAULT_RULES[fault].retryable else 1)
    assert [event.number for event in b.of(AttemptFinished)] == list(range(1, len(provider.sent) + 1))


async def test_a_second_attempt_may_answer(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.replies.extend([Reply(fault=FaultClass.SERVER), Reply("better")])
    done = await b.llm.complete(ask(), charged_to("org"))
    assert (done.text, done.attempts, done.status) == ("better", 2, "ok")


async def test_ambiguous_attempts_count_in_what_the_call_cost(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.replies.append(Reply(fault=FaultClass.TIMEOUT))
    done = await b.llm.complete(ask(), charged_to("org"))
    attempts = await b.attempts()
    assert done.cost_nano_usd == sum(attempt.cost_nano_usd for attempt in attempts) > provider.billed_nano_usd


class _Failing:
    def __init__(self) -> None:
        self.attempts = 0

    async def complete(self, request: Request, call: Call) -> Completion:
        self.attempts += 1
        raise ProviderError("down", fault=FaultClass.SERVER)


def _call(deadline: float) -> Call:
    return Call(CallContext(), "c", "m/m", 0.0, 0.0, deadline, {})


async def _pauses(seed: int, deadline: float, settings: RetrySettings) -> tuple[list[float], int]:
    time = VirtualTime(0.0)
    inner = _Failing()
    layer = RetryLayer(inner, settings, Timing(time.clock, time.clock, time.sleep, random.Random(seed)))
    with pytest.raises(ProviderError, match="down"):
        await layer.complete(ask(), _call(deadline))
    return time.slept, inner.attempts


async def test_pauses_are_jittered_and_their_ceiling_doubles() -> None:
    settings = RetrySettings(first_backoff_s=1.0, max_backoff_s=1.5)
    drawn = [(await _pauses(seed, 100.0, settings))[0] for seed in range(60)]
    first, second = zip(*drawn, strict=True)
    assert 0 <= min(first) < 0.2
    assert 0.8 < max(first) <= 1.0
    assert 1.2 < max(second) <= 1.5
    assert len(set(first)) > 50


async def test_no_attempt_begins_after_the_deadline() -> None:
    settings = RetrySettings(first_backoff_s=50.0, max_backoff_s=50.0)
    for seed in range(20):
        slept, attempts = await _pauses(seed, 10.0, settings)
        assert sum(slept) < 10.0
        assert attempts == len(slept) + 1


async def test_a_429_shuts_the_model_for_as_long_as_it_asks(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(max_wait_s=30)
    provider.replies.append(Reply(fault=FaultClass.RATE_LIMITED, retry_after_s=7.0))
    done = await b.llm.complete(ask(), charged_to("org"))
    assert (done.status, done.attempts) == ("ok", 2)
    assert provider.sent_at[1] - provider.sent_at[0] >= 7.0
    assert not b.of(BreakerChanged)


async def test_five_faults_open_the_breaker_and_three_probes_close_it(
    bench: OpenBench, provider: ScriptedProvider, time: VirtualTime, state_url: str
) -> None:
    b = await bench(state=state_url, retry={"max_attempts": 1})
    provider.replies.extend([Reply(fault=FaultClass.SERVER)] * 5)
    for _ in range(5):
        assert (await b.llm.complete(ask(), charged_to("org"))).reason == "provider_error"
    done = await b.llm.complete(ask(), charged_to("org"))
    assert (done.reason, len(provider.sent)) == ("circuit_open", 5)
    assert (await b.llm.health()).overall == "degraded"
    time.now += 60.0
    for _ in range(3):
        assert (await b.llm.complete(ask(), charged_to("org"))).status == "ok"
    moves = [(event.before, event.after) for event in b.of(BreakerChanged)]
    assert moves == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert (await b.llm.health()).overall == "healthy"


async def test_the_callers_own_errors_never_open_the_breaker(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.otherwise = lambda _request: Reply(fault=FaultClass.INVALID_REQUEST)
    for _ in range(20):
        with pytest.raises(ProviderError):
            await b.llm.complete(ask(), charged_to("org"))
    assert len(provider.sent) == 20
