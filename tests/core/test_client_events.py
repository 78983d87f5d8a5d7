from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

import pytest
from core.asking import ask, charged_to
from core.conftest import MODEL, OpenBench
from core.scripted import Reply, ScriptedProvider

from domain.errors import FaultClass, InputError, PromptoryError, StateUnavailableError
from resources.llm.events import AttemptFinished, BudgetAlarm, CallFinished, Event, StateUnavailable

COST = 10 * 100 + 5 * 400
RESERVE = 50 * 100 + 10 * 400


async def test_no_subscriber_can_fail_a_call(bench: OpenBench, caplog: pytest.LogCaptureFixture) -> None:
    b = await bench()
    seen: list[Event] = []

    def broken(_event: Event) -> None:
        raise RuntimeError("exporter down")

    unsubscribe = b.llm.subscribe(broken)
    b.llm.subscribe(seen.append)
    with caplog.at_level(logging.ERROR):
        assert (await b.llm.complete(ask())).status == "ok"
    assert [type(event) for event in seen] == [AttemptFinished, CallFinished]
    assert "exporter down" in caplog.text
    assert len(await b.calls()) == 1
    unsubscribe()
    caplog.clear()
    await b.llm.complete(ask())
    assert not caplog.records


async def test_events_say_what_happened_and_never_what_was_said(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.replies.append(Reply("an answer nobody may read"))
    await b.llm.complete(ask("a question nobody may read"), charged_to("org", task="t", purpose="serve"))
    attempt, call = b.events
    assert isinstance(attempt, AttemptFinished)
    assert isinstance(call, CallFinished)
    assert (attempt.purpose, attempt.task, attempt.outcome, attempt.cost_nano_usd) == ("serve", "t", "ok", COST)
    assert (call.call_id, call.status, call.usage.input_tokens) == (attempt.call_id, "ok", 10)
    assert "nobody may read" not in repr(b.events)
    with pytest.raises(AttributeError):
        call.status = "fallback"  # pyright: ignore


async def test_alarms_at_half_four_fifths_and_full_once_each(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(budgets={"task:t": Decimal(RESERVE * 5) / 10**9})
    percents: list[int] = []
    while (await b.llm.complete(ask(), charged_to("task:t"))).status == "ok":
        await b.llm.flush()
        percents = [alarm.percent for alarm in b.of(BudgetAlarm)]
        spent = (await b.scope("task:t")).settled_nano_usd
        assert percents == [p for p in (50, 80) if spent * 100 >= p * RESERVE * 5]
    await b.llm.flush()
    await b.llm.flush()
    assert [alarm.percent for alarm in b.of(BudgetAlarm)] == [50, 80, 100]


async def test_a_request_larger_than_its_whole_cap_is_no_full_budget(bench: OpenBench) -> None:
    b = await bench(budgets={"task:t": Decimal(RESERVE * 2) / 10**9})
    await b.llm.complete(ask(), charged_to("task:t"))
    assert (await b.llm.complete(ask(max_output_tokens=10_000), charged_to("task:t"))).reason == "budget_exhausted"
    await b.llm.flush()
    assert not b.of(BudgetAlarm)


async def test_health_in_one_word(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(
        budgets={"task:t": Decimal(COST * 20) / 10**9}, limits={MODEL: {"requests_per_minute": 40}}, max_wait_s=0
    )
    assert (await b.llm.health()).overall == "healthy"
    while (await b.scope("task:t") if b.events else None) is None or (
        await b.scope("task:t")
    ).settled_nano_usd <= COST * 18:
        await b.llm.complete(ask(), charged_to("task:t"))
        if b.events[-1].status != "ok":  # pyright: ignore
            break
    await b.llm.set_cap("task:t", Decimal(COST * 17) / 10**9)
    health = await b.llm.health()
    assert health.overall == "warning"
    assert "task:t" in health.reasons[0]
    await b.llm.set_breaker(MODEL, "open")
    assert (await b.llm.health()).overall == "degraded"
    await b.llm.set_breaker(MODEL, "closed")
    await b.llm.set_cap("task:t", Decimal(1))
    assert (await b.llm.health()).overall == "healthy"
    for _ in range(20):
        await b.llm.complete(ask(), charged_to("org"))
    health = await b.llm.health()
    assert health.overall == "warning"
    assert "limiter" in health.reasons[0]


async def test_yesterdays_full_budget_is_no_warning_today(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(budgets={"day": Decimal(RESERVE + 1) / 10**9})
    provider.replies.append(Reply(fault=FaultClass.TIMEOUT))
    await b.llm.complete(ask(), charged_to("day"))
    assert (await b.llm.health()).overall == "warning"
    provider.time.now += 86_400
    assert (await b.llm.health()).overall == "healthy"


async def test_an_absent_state_store_sends_nothing_and_comes_back(
    bench: OpenBench, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = await bench(budgets={"day": 1})
    store = b.llm._core.store

    async def away(*_: object) -> None:
        raise StateUnavailableError("The state store is away.")

    with monkeypatch.context() as patch:
        for name in ("admit", "renew", "open", "scopes", "models"):
            patch.setattr(store, name, away)
        with pytest.raises(StateUnavailableError):
            await b.llm.complete(ask(), charged_to("day"))
        await b.llm._core.heartbeat.beat()
        assert (await b.llm.health()).overall == "degraded"
        assert not (await b.llm.health()).state_available
    assert b.of(StateUnavailable)
    assert not provider.sent
    assert (await b.llm.complete(ask(), charged_to("day"))).status == "ok"


async def test_what_goes_on_beside_the_calls_outlives_an_error_nobody_foresaw(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    b = await bench(flush_interval_s=0.005)
    tried = asyncio.Event()

    async def broken(_limit: int) -> list[tuple[str, str]]:
        tried.set()
        raise TypeError("the text of a row")

    with monkeypatch.context() as patch:
        patch.setattr(b.llm._core.store, "take_outbox", broken)
        await b.llm.complete(ask(), charged_to("org"))
        await tried.wait()
        await asyncio.sleep(0)
        health = await b.llm.health()
        assert (health.overall, health.failed_steps >= 1) == ("warning", True)
        assert "TypeError" in health.reasons[0]
    assert "TypeError" in caplog.text
    assert "the text of a row" not in caplog.text + str(health)
    while (await b.llm.health()).overall != "healthy":  # noqa: ASYNC110 - the loop under test runs in real time
        await asyncio.sleep(0.002)
    assert await b.llm._core.store.take_outbox(10) == []
    assert (await b.llm.health()).failed_steps >= 1


async def test_a_settlement_the_store_missed_is_booked_when_it_is_back(
    bench: OpenBench, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = await bench(budgets={"day": 1})

    async def away(*_: object) -> None:
        raise StateUnavailableError("The state store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(b.llm._core.store, "settle", away)
        done = await b.llm.complete(ask(), charged_to("day"))
    assert (done.status, done.cost_nano_usd) == ("ok", COST)
    assert (await b.scope("day:2026-11-22")).reserved_nano_usd == RESERVE
    await b.llm._core.heartbeat.beat()
    state = await b.scope("day:2026-11-22")
    assert (state.reserved_nano_usd, state.settled_nano_usd) == (0, COST)
    assert (await b.attempts())[0].charge == "settled"


async def test_a_closed_client_says_so_and_closes_its_providers(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    await b.llm.complete(ask())
    await b.llm.close()
    await b.llm.close()
    assert provider.closed
    with pytest.raises(PromptoryError, match="closed"):
        await b.llm.complete(ask())


@pytest.mark.parametrize(("scope", "usd"), [("day", Decimal(-1)), ("day", Decimal("NaN")), ("Day", Decimal(1))])
async def test_senseless_caps_are_refused(bench: OpenBench, scope: str, usd: Decimal) -> None:
    b = await bench()
    with pytest.raises(InputError):
        await b.llm.set_cap(scope, usd)


async def test_closing_waits_for_what_is_under_way(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    for _ in range(3):
        await b.llm.complete(ask(), charged_to("org"))
    await b.llm.close()
    await asyncio.sleep(0)
    assert len([event for event in b.events if isinstance(event, CallFinished)]) == 3
