"""Callers that want only so many of their calls at the provider at once, and more on the way there and back."""

from __future__ import annotations

import asyncio

import pytest
from core.asking import MODEL, ask, charged_to
from core.conftest import OpenBench
from core.scripted import Reply, ScriptedProvider, VirtualTime

from domain.errors import FaultClass
from resources.batch_inference.lanes import InLane
from resources.llm.events import AttemptFinished
from resources.llm.types import Request

LIMIT = 6


async def test_no_more_are_at_the_provider_than_the_lane_lets_in(bench: OpenBench, provider: ScriptedProvider) -> None:
    b, lane = await bench(state="memory", budgets={"day": 1}), asyncio.Semaphore(2)
    provider.replies.extend(Reply(takes_s=1.0) for _ in range(6))
    calls = [b.llm.complete(ask(f"{number}"), charged_to("day"), lane=lane) for number in range(6)]
    answers = await asyncio.gather(*calls)
    assert {one.status for one in answers} == {"ok"}
    assert provider.peak_in_flight == 2


async def test_who_is_cancelled_in_the_lane_has_sent_nothing(bench: OpenBench, provider: ScriptedProvider) -> None:
    b, lane = await bench(state="memory", budgets={"day": 1}), asyncio.Semaphore(1)
    async with lane:
        call = asyncio.create_task(b.llm.complete(ask("never"), charged_to("day"), lane=lane))
        for _ in range(100):
            await asyncio.sleep(0)
        assert any(one.reserved_nano_usd for one in await b.llm.budgets())
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await b.llm.flush()
    (attempt,) = await b.attempts()
    assert (attempt.outcome, attempt.charge, attempt.cost_nano_usd) == ("cancelled", "free", 0)
    assert (await b.scope("day:2026-11-22")).reserved_nano_usd == 0
    assert provider.sent == []


async def test_who_waits_in_the_lane_while_the_breaker_opens_sends_nothing(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(state="memory", retry={"max_attempts": 1}, breaker={"consecutive_faults": 2})
    lane = asyncio.Semaphore(1)
    provider.otherwise = lambda _request: Reply(fault=FaultClass.TIMEOUT, takes_s=1.0)
    calls = [b.llm.complete(ask(f"{number}"), charged_to("day"), lane=lane) for number in range(8)]
    reasons = [one.reason for one in await asyncio.gather(*calls)]
    # The one behind the last fault enters before that is booked.
    assert len(provider.sent) <= 3
    assert reasons.count("circuit_open") >= 5
    assert [one.charge for one in await b.attempts()].count("ambiguous") == len(provider.sent)


async def test_a_breaker_that_was_open_before_keeps_nobody_from_the_lane(
    bench: OpenBench, provider: ScriptedProvider, time: VirtualTime
) -> None:
    b = await bench(state="memory", retry={"max_attempts": 1}, breaker={"consecutive_faults": 1})
    provider.replies.append(Reply(fault=FaultClass.SERVER))
    await b.llm.complete(ask("first"), charged_to("day"))
    time.now += 60.0
    probe = await b.llm.complete(ask("probe"), charged_to("day"), lane=asyncio.Semaphore(1))
    assert probe.status == "ok"


async def test_the_wait_in_the_lane_is_no_latency_of_the_call(bench: OpenBench, provider: ScriptedProvider) -> None:
    b, lane = await bench(state="memory"), asyncio.Semaphore(1)
    provider.replies.extend(Reply(takes_s=1.0) for _ in range(3))
    calls = [b.llm.complete(ask(f"{number}"), charged_to("day"), lane=lane) for number in range(3)]
    answers = await asyncio.gather(*calls)
    assert [one.latency_s for one in answers] == pytest.approx([1.0, 1.0, 1.0])
    assert [one.latency_s for one in await b.calls()] == pytest.approx([1.0, 1.0, 1.0])
    assert [one.waited_s for one in b.of(AttemptFinished)] == pytest.approx([0.0, 0.0, 0.0])


@pytest.mark.parametrize("admitted_first", [False, True])
async def test_after_a_stall_only_who_was_admitted_before_can_pass_the_limit(
    bench: OpenBench, provider: ScriptedProvider, time: VirtualTime, admitted_first: bool
) -> None:
    b = await bench(state="memory", limits={MODEL: {"requests_per_minute": LIMIT}}, max_wait_s=600)
    llm, sent = InLane(b.llm, asyncio.Semaphore(2), admitted_first), list[float]()

    def reply(_request: Request) -> Reply:
        sent.append(time.now)
        return Reply(takes_s=50.0 if len(sent) <= 2 else 0.0)

    provider.otherwise = reply
    in_time = charged_to("day", deadline_s=3600.0)
    await asyncio.gather(*(llm.complete(ask(f"{number}"), in_time) for number in range(24)))
    assert len(sent) == 24
    fullest = max(sum(start <= at < start + 60.0 for at in sent) for start in sent)
    assert (fullest > LIMIT) == admitted_first
