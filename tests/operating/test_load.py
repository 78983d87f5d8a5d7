"""Load over a scripted provider on virtual time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from core.asking import MODEL, ask
from core.scripted import Reply

from domain.errors import ConfigurationError, FaultClass
from resources.llm import CallContext
from resources.llm.load import Load, LoadPlan, LoadReport


async def send(one: Any, time: Any, requests: Any, plan: LoadPlan, *scopes: str) -> LoadReport:
    seen: list[int] = []
    load = Load(
        one.llm,
        requests,
        CallContext(purpose="load", scopes=scopes, deadline_s=30),
        plan,
        rng=random.Random(3),
        on_progress=lambda report: seen.append(report.ok + report.fallbacks.total() + report.failures.total()),
        monotonic=time.clock,
        sleep=time.sleep,
    )
    report = await load.run()
    assert seen == list(range(1, plan.requests + 1))
    assert report.sent == plan.requests
    return report


async def test_requests_leave_at_the_asked_rate_whatever_the_answers_take(bench, time, provider):
    one = await bench()
    provider.otherwise = lambda _: Reply(takes_s=2.0)

    report = await send(one, time, [ask()], LoadPlan(21, 10.0, 0.0, 1000))

    gaps = [after - before for before, after in zip(provider.sent_at, provider.sent_at[1:], strict=False)]
    assert gaps == pytest.approx([0.1] * 20, abs=1e-6)
    assert report.elapsed_s == pytest.approx(4.0)
    assert (report.ok, report.late) == (21, 0)
    assert report.latency_percentiles_s("normal") == pytest.approx({50: 2.0, 95: 2.0, 99: 2.0})
    assert report.latency_percentiles_s("high") == {}
    assert (report.cost_nano_usd, report.input_tokens) == (provider.billed_nano_usd, 210)


async def test_no_more_than_asked_are_under_way(bench, time, provider):
    one = await bench()
    provider.otherwise = lambda _: Reply(takes_s=1.0)

    report = await send(one, time, [ask()], LoadPlan(12, 100.0, 0.0, 3))

    assert provider.peak_in_flight == 3
    assert report.late > 0
    assert report.elapsed_s == pytest.approx(4.0, abs=0.05)


async def test_priorities_are_mixed_and_told_apart(bench, time, provider):
    one = await bench(limits={MODEL: {"requests_per_minute": 20}})

    report = await send(one, time, [ask()], LoadPlan(100, 1000.0, 0.3, 100))

    high, normal = (report.latencies_s.get(one, []) for one in ("high", "normal"))
    assert len(high) + len(normal) == report.ok == 20
    assert report.fallbacks == {"rate_limited": 80}
    assert len(provider.sent) == 20


async def test_the_cache_answers_unless_asked_afresh(bench, time, provider):
    one = await bench()
    requests = [ask("a", temperature=0.0), ask("b", temperature=0.0)]

    report = await send(one, time, requests, LoadPlan(10, 10.0, 0.0, 10))
    fresh = await send(one, time, requests, LoadPlan(10, 10.0, 0.0, 10, fresh=True))

    assert (report.ok, report.cached, fresh.ok, fresh.cached) == (10, 8, 10, 0)
    assert len(provider.sent) == 12


async def test_a_budget_ends_it_without_being_broken(bench, time, provider):
    one = await bench(budgets={"run:load-1": "0.000030"})

    report = await send(one, time, [ask()], LoadPlan(50, 10.0, 0.0, 1), "run:load-1")

    assert report.fallbacks["budget_exhausted"] + report.ok == 50
    assert 0 < report.ok < 50
    assert report.cost_nano_usd == provider.billed_nano_usd <= 30_000


async def test_faults_are_counted_by_reason(bench, time, provider):
    one = await bench(retry={"max_attempts": 1})
    provider.replies.extend([Reply(fault=FaultClass.AUTHENTICATION), Reply(fault=FaultClass.SERVER)])

    report = await send(one, time, [ask()], LoadPlan(3, 1.0, 0.0, 1))

    assert report.failures == {FaultClass.AUTHENTICATION.value: 1}
    assert (report.fallbacks, report.ok) == ({"provider_error": 1}, 1)


async def test_what_every_request_would_meet_ends_it_at_once(bench, time, provider):
    one = await bench(budgets={"day": "1"}, prices={})
    load = Load(
        one.llm,
        [ask()],
        CallContext(scopes=("day",)),
        LoadPlan(1000, 10.0, 0.0, 4),
        rng=random.Random(3),
        monotonic=time.clock,
        sleep=time.sleep,
    )

    with pytest.raises(ConfigurationError, match="no known price"):
        await load.run()

    assert len(one.events) < 5
    assert provider.sent == []


def test_percentiles_are_by_nearest_rank():
    report = LoadReport()
    report.latencies_s["high"] = [float(n) for n in range(100, 0, -1)]

    assert report.latency_percentiles_s("high") == {50: 50.0, 95: 95.0, 99: 99.0}
