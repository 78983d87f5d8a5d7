"""What each ending of an attempt costs, and that ledger, scopes and the provider's bill agree about it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from core.asking import ask, charged_to
from core.conftest import MODEL, OpenBench
from core.scripted import Reply, ScriptedProvider

from domain.errors import ConfigurationError, FaultClass, InputError, ProviderError, UnansweredError
from resources.llm import Message, Request
from resources.llm.events import AttemptFinished, Overrun, ScopeFrozen

RESERVE = 50 * 100 + 10 * 400
COST = 10 * 100 + 5 * 400
ONCE = {"max_attempts": 1}
CAPS = {"day": "1", "task:t": "0.5"}


async def test_an_answer_costs_what_the_provider_counted(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    b = await bench(state=state_url, budgets=CAPS)
    done = await b.llm.complete(ask(), charged_to("day", "task:t", task="t", row_id="r1"))
    assert (done.status, done.text, done.cost_nano_usd, done.attempts) == ("ok", "ok", COST, 1)
    assert done.cost_nano_usd == provider.billed_nano_usd
    for window in ("day:2026-11-22", "task:t"):
        state = await b.scope(window)
        assert (state.settled_nano_usd, state.ambiguous_nano_usd, state.reserved_nano_usd) == (COST, 0, 0)
    (call,) = await b.calls()
    (attempt,) = await b.attempts()
    assert (call.call_id, call.status, call.cost_nano_usd, call.row_id) == (done.call_id, "ok", COST, "r1")
    assert (attempt.call_id, attempt.charge, attempt.cost_nano_usd) == (done.call_id, "settled", COST)
    assert (attempt.reserved_nano_usd, attempt.scopes) == (RESERVE, ["day:2026-11-22", "task:t"])
    assert (attempt.reserved_input_tokens, attempt.reserved_output_tokens) == (50, 10)
    assert attempt.price["input_per_million"] == "0.10"


async def test_an_answer_without_a_count_keeps_its_whole_reserve(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(budgets=CAPS)
    provider.replies.append(Reply(counts_nothing=True))
    done = await b.llm.complete(ask(), charged_to("day", "task:t"))
    assert (done.status, done.cost_nano_usd) == ("ok", RESERVE)
    state = await b.scope("task:t")
    assert (state.settled_nano_usd, state.ambiguous_nano_usd, state.reserved_nano_usd) == (0, RESERVE, 0)
    (attempt,) = await b.attempts()
    assert (attempt.outcome, attempt.charge, attempt.cost_nano_usd) == ("ok", "ambiguous", RESERVE)


@pytest.mark.parametrize(
    ("reply", "charge", "cost"),
    [
        (Reply(fault=FaultClass.TIMEOUT), "ambiguous", RESERVE),
        (Reply(fault=FaultClass.CONNECTION), "ambiguous", RESERVE),
        (Reply(fault=FaultClass.CONNECTION, never_sent=True), "free", 0),
        (Reply(fault=FaultClass.MALFORMED), "ambiguous", RESERVE),
        (Reply(fault=FaultClass.SERVER), "free", 0),
        (Reply(fault=FaultClass.RATE_LIMITED), "free", 0),
        (Reply(fault=FaultClass.INVALID_REQUEST), "free", 0),
        (Reply(fault=FaultClass.AUTHENTICATION), "free", 0),
        (Reply(fault=FaultClass.REFUSED), "free", 0),
        (Reply(bug=True), "ambiguous", RESERVE),
    ],
)
async def test_a_failure_costs_nothing_or_its_whole_reserve(
    bench: OpenBench, provider: ScriptedProvider, reply: Reply, charge: str, cost: int
) -> None:
    b = await bench(budgets=CAPS, retry=ONCE)
    provider.replies.append(reply)
    with pytest.raises((ProviderError, UnansweredError, KeyError)):
        await b.llm.complete(ask(), charged_to("day", allow_fallback=False))
    (attempt,) = await b.attempts()
    assert (attempt.charge, attempt.cost_nano_usd) == (charge, cost)
    assert attempt.outcome == (reply.fault.value if reply.fault else "crashed")
    state = await b.scope("day:2026-11-22")
    assert state.ambiguous_nano_usd + state.settled_nano_usd == cost
    assert state.reserved_nano_usd == 0
    (call,) = await b.calls()
    assert (call.status, call.cost_nano_usd, call.attempts) == ("error", cost, 1)


async def test_a_cancelled_call_keeps_its_charge_once_it_was_sent(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(budgets=CAPS)
    provider.replies.append(Reply(hangs=True))
    call = asyncio.create_task(b.llm.complete(ask(), charged_to("day")))
    await provider.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (attempt,) = await b.attempts()
    assert (attempt.outcome, attempt.charge, attempt.cost_nano_usd) == ("cancelled", "ambiguous", RESERVE)
    assert (await b.calls())[0].status == "cancelled"
    assert (await b.scope("day:2026-11-22")).ambiguous_nano_usd == RESERVE


async def test_a_call_cancelled_while_it_waits_costs_nothing(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(budgets=CAPS, limits={MODEL: {"requests_per_minute": 1}}, max_wait_s=30)
    await b.llm.complete(ask(), charged_to("day"))
    provider.time.now += 1.0
    waiting = asyncio.create_task(b.llm.complete(ask(), charged_to("day")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(provider.sent) == 1
    assert (await b.scope("day:2026-11-22")).settled_nano_usd == COST
    assert [call.status for call in await b.calls()] == ["ok", "cancelled"]


async def test_a_provider_that_hangs_is_cut_off_at_the_deadline(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(budgets=CAPS)
    provider.replies.append(Reply(takes_s=500.0))
    done = await b.llm.complete(ask(), charged_to("day", deadline_s=20.0))
    assert (done.status, done.reason, done.attempts) == ("fallback", "deadline", 1)
    assert done.latency_s == pytest.approx(20.0)


async def test_a_bill_above_the_reserve_is_booked_and_freezes(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(budgets={"task:t": "0.5"})
    provider.replies.append(Reply(input_tokens=100_000))
    done = await b.llm.complete(ask(), charged_to("task:t"))
    assert done.cost_nano_usd == provider.billed_nano_usd > RESERVE
    assert [event.scope for event in b.of(ScopeFrozen)] == ["task:t"]
    assert b.of(Overrun)[0].cost_nano_usd == done.cost_nano_usd
    refused = await b.llm.complete(ask(), charged_to("task:t"))
    assert (refused.status, refused.reason) == ("fallback", "budget_exhausted")
    await b.llm.unfreeze("task:t")
    assert (await b.llm.complete(ask(), charged_to("task:t"))).status == "ok"
    assert sum(a.cost_nano_usd for a in await b.attempts()) == provider.billed_nano_usd


async def test_an_unpriced_model_is_refused_under_any_cap_and_free_without(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(budgets={"task:t": "0.5"})
    with pytest.raises(ConfigurationError, match="prices") as caught:
        await b.llm.complete(ask(model="scripted/nameless"), charged_to("org", "task:t"))
    assert caught.value.field == "prices.scripted/nameless"
    assert not provider.sent
    done = await b.llm.complete(ask(model="scripted/nameless"), charged_to("org"))
    assert (done.status, done.cost_nano_usd) == ("ok", 0)
    (attempt,) = await b.attempts()
    assert attempt.price is None


async def test_a_cap_set_later_binds_unpriced_models_too(bench: OpenBench) -> None:
    b = await bench()
    await b.llm.complete(ask(model="scripted/nameless"), charged_to("run:1"))
    await b.llm.set_cap("run:1", Decimal("0.1"))
    with pytest.raises(ConfigurationError):
        await b.llm.complete(ask(model="scripted/nameless"), charged_to("run:1"))


async def test_a_cap_another_client_set_binds_unpriced_models_within_a_second(
    bench: OpenBench, provider: ScriptedProvider, tmp_path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, two = await bench(state=url), await bench(state=url)
    await one.llm.complete(ask(model="scripted/nameless"), charged_to("run:1"))
    await two.llm.set_cap("run:1", Decimal("0.1"))
    provider.time.now += 1.0
    with pytest.raises(ConfigurationError):
        await one.llm.complete(ask(model="scripted/nameless"), charged_to("run:1"))


async def test_a_cap_another_client_set_on_a_scope_that_was_never_charged_binds_unpriced_models(
    bench: OpenBench, provider: ScriptedProvider, tmp_path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, two = await bench(state=url), await bench(state=url)
    await two.llm.set_cap("run:1", Decimal("0.000001"))
    for _ in range(3):
        with pytest.raises(ConfigurationError):
            await one.llm.complete(ask(model="scripted/nameless"), charged_to("run:1"))
    assert not provider.sent


@pytest.mark.parametrize("cap", ["day", "run:1"])
async def test_a_cap_another_client_lifted_stands_no_longer(
    bench: OpenBench, provider: ScriptedProvider, tmp_path, cap: str
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, two = await bench(state=url, budgets={"day": 1}, require_budget=True), await bench(state=url)
    await two.llm.set_cap("day", None)
    await two.llm.set_cap(cap, Decimal(1))
    assert (await one.llm.complete(ask(), charged_to("day", "run:1"))).status == "ok"
    await two.llm.set_cap(cap, None)
    provider.time.now += 1.0
    with pytest.raises(ConfigurationError, match="budget"):
        await one.llm.complete(ask(), charged_to("day", "run:1"))


async def test_calls_that_need_a_cap_look_for_it_once_a_second(
    bench: OpenBench, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, state_url: str
) -> None:
    b = await bench(state=state_url, budgets={"day": 1}, require_budget=True)
    looks: list[float] = []
    ask_store = b.llm._core.store.caps

    async def caps() -> dict[str, int]:
        looks.append(provider.time.now)
        await asyncio.sleep(0)
        return await ask_store()

    monkeypatch.setattr(b.llm._core.store, "caps", caps)
    for _ in range(2):
        await asyncio.gather(*(b.llm.complete(ask(), charged_to("day")) for _ in range(20)))
    assert len(looks) == 1
    provider.time.now += 1.0
    await b.llm.complete(ask(), charged_to("day"))
    assert len(looks) == 2


@pytest.mark.parametrize("usd", ["9300000000", "1e400", "-1", "NaN"])
async def test_a_cap_that_no_store_could_hold_is_refused_and_changes_nothing(bench: OpenBench, usd: str) -> None:
    b = await bench(budgets={"day": 1})
    with pytest.raises(InputError, match="at most 9,000,000,000") as caught:
        await b.llm.set_cap("day", Decimal(usd))
    assert caught.value.field == "usd"
    assert await b.llm._core.store.caps() == {"day": 10**9}


async def test_the_highest_cap_holds(bench: OpenBench, tmp_path) -> None:
    b = await bench(state=f"sqlite:///{tmp_path / 'state.db'}", budgets={"day": "9000000000"})
    await b.llm.set_cap("org", Decimal(9_000_000_000))
    assert (await b.llm.complete(ask(), charged_to("day", "org"))).status == "ok"


async def test_a_required_budget_is_required(bench: OpenBench) -> None:
    b = await bench(require_budget=True, budgets={"day": 1})
    with pytest.raises(ConfigurationError, match="budgets"):
        await b.llm.complete(ask(), charged_to("task:t"))
    assert (await b.llm.complete(ask(), charged_to("day", "task:t"))).status == "ok"


@pytest.mark.parametrize(
    ("request_fields", "context_fields", "field"),
    [
        ({"max_output_tokens": 0}, {}, "max_output_tokens"),
        ({"max_output_tokens": -(10**9)}, {}, "max_output_tokens"),
        ({"max_output_tokens": 2**31}, {}, "max_output_tokens"),
        ({"max_output_tokens": 2.5}, {}, "max_output_tokens"),
        ({"stop": "END"}, {}, "stop"),
        ({"stop": (1,)}, {}, "stop"),
        ({"stop": 1}, {}, "stop"),
        ({"extra": {"n": 8}}, {}, "extra"),
        ({"extra": {"max_tokens": 10**6}}, {}, "extra"),
        ({"extra": {"x": object()}, "temperature": 0.0}, {}, "extra"),
        ({"model": "nobody"}, {}, "model"),
        ({}, {"deadline_s": 0.0}, "deadline_s"),
        ({}, {"row_id": "x" * 201}, "row_id"),
        ({}, {"unit_id": "a\x00b"}, "unit_id"),
        ({}, {"scopes": ("Day",)}, "scopes"),
    ],
)
async def test_what_no_reserve_or_ledger_could_follow_is_refused(
    bench: OpenBench, provider: ScriptedProvider, request_fields: dict, context_fields: dict, field: str
) -> None:
    b = await bench()
    with pytest.raises(InputError) as caught:
        await b.llm.complete(ask(**request_fields), charged_to(*context_fields.pop("scopes", ()), **context_fields))
    assert caught.value.field == field
    assert not provider.sent


@pytest.mark.parametrize(
    "messages",
    [
        (),
        ({"role": "user", "content": "hello"},),
        (("user", "hello"),),
        (Message("user", "hello"), "and this"),
        (Message("tool", "hello"),),  # pyright: ignore
        (Message(["user"], "hello"),),  # pyright: ignore
        (Message("user", None),),  # pyright: ignore
        "hello",
        None,
    ],
)
async def test_what_is_no_conversation_is_refused(bench: OpenBench, provider: ScriptedProvider, messages: Any) -> None:
    b = await bench()
    with pytest.raises(InputError) as caught:
        await b.llm.complete(Request(MODEL, messages))
    assert caught.value.field == "messages"
    assert not provider.sent


async def test_an_attempt_over_midnight_is_charged_to_the_day_it_is_sent_on(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    provider.time.now += 86_400 - 1
    b = await bench(limits={MODEL: {"requests_per_minute": 1}}, budgets=CAPS)
    batch = charged_to("day", purpose="batch")
    await b.llm.complete(ask(), batch)
    await b.llm.complete(ask(), batch)
    windows = [event.scopes for event in b.of(AttemptFinished)]
    assert windows == [("day:2026-11-22",), ("day:2026-11-23",)]
    assert (await b.scope("day:2026-11-23")).settled_nano_usd == COST
