"""Waiting: how long, in what order, and what ends it."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal

import pytest
from core.asking import ask, charged_to
from core.conftest import MODEL, OpenBench
from core.scripted import START, Reply, ScriptedProvider, VirtualTime
from hypothesis import given
from hypothesis import strategies as st

from resources.llm.lines import Line, Place
from resources.llm.types import CallContext

RESERVE = 50 * 100 + 10 * 400


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=30))
def test_urgent_first_then_tasks_in_turn_each_by_arrival(arrivals: list[tuple[str, bool]]) -> None:
    line = Line()
    places = [Place(number, task, urgent) for number, (task, urgent) in enumerate(arrivals)]
    for place in places:
        line.join(place)
    served = []
    while (head := line.head()) is not None:
        served.append(head)
        line.leave(head, served=True)
    assert sorted(place.arrival for place in served) == list(range(len(places)))
    urgent = [place for place in served if place.urgent]
    normal = [place for place in served if not place.urgent]
    assert served == urgent + normal
    assert [place.arrival for place in urgent] == sorted(place.arrival for place in urgent)
    for task in "abc":
        mine = [place.arrival for place in normal if place.task == task]
        assert mine == sorted(mine)
    for earlier, later in itertools.pairwise(normal):
        if earlier.task == later.task:  # twice in a row only when no other task waits
            assert {place.task for place in normal[normal.index(later) :]} == {later.task}


@given(st.lists(st.booleans(), min_size=2, max_size=20), st.data())
def test_whoever_leaves_lets_the_next_one_know(urgent: list[bool], data: st.DataObject) -> None:
    line = Line()
    places = [Place(number, None, flag) for number, flag in enumerate(urgent)]
    for place in places:
        line.join(place)
    line.leave(data.draw(st.sampled_from(places)), served=False)
    head = line.head()
    assert head is not None
    assert head.turn.is_set()


async def test_the_limiter_is_waited_for_ten_seconds_at_most(
    bench: OpenBench, provider: ScriptedProvider, time: VirtualTime
) -> None:
    b = await bench(limits={MODEL: {"requests_per_minute": 2}})
    done = await asyncio.gather(*(b.llm.complete(ask(), charged_to("org")) for _ in range(5)))
    assert sorted(answer.status for answer in done) == ["fallback"] * 3 + ["ok"] * 2
    refused = [answer for answer in done if answer.status == "fallback"]
    assert {answer.reason for answer in refused} == {"rate_limited"}
    assert all(answer.latency_s == pytest.approx(10.0) for answer in refused)


async def test_a_batch_waits_as_long_as_it_takes_within_the_limit(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    b = await bench(state=state_url, limits={MODEL: {"requests_per_minute": 3}})
    batch = CallContext(purpose="batch", scopes=("org",))
    done = await asyncio.gather(*(b.llm.complete(ask(), batch) for _ in range(12)))
    assert {answer.status for answer in done} == {"ok"}
    for first in provider.sent_at:
        assert sum(first <= at < first + 60 for at in provider.sent_at) <= 3
    assert max(provider.sent_at) - START < 60 * 6


async def test_urgent_calls_go_first_and_tasks_take_turns(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(limits={MODEL: {"requests_per_minute": 1}})
    calls = [("first", "a", "normal"), ("a1", "a", "normal"), ("a2", "a", "normal"), ("a3", "a", "normal")]
    calls += [("b1", "b", "normal"), ("b2", "b", "normal"), ("urgent", "a", "high")]
    tasks = []
    for text, task, priority in calls:
        context = CallContext(purpose="batch", task=task, priority=priority)  # pyright: ignore
        tasks.append(asyncio.create_task(b.llm.complete(ask(text), context)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    order = [request.messages[0].content for request in provider.sent]
    assert order == ["first", "urgent", "a1", "b1", "a2", "b2", "a3"]


async def test_a_newcomer_does_not_overtake_those_who_wait(
    bench: OpenBench, provider: ScriptedProvider, time: VirtualTime
) -> None:
    b = await bench(limits={MODEL: {"requests_per_minute": 1}})
    batch = CallContext(purpose="batch")
    await b.llm.complete(ask("first"), batch)
    waiting = asyncio.create_task(b.llm.complete(ask("waiting"), batch))
    await asyncio.sleep(0)
    time.now += 65.0  # room again, but nobody has woken yet
    newcomer = asyncio.create_task(b.llm.complete(ask("newcomer"), batch))
    await asyncio.gather(waiting, newcomer)
    assert [request.messages[0].content for request in provider.sent] == ["first", "waiting", "newcomer"]


async def test_a_full_budget_of_one_task_does_not_hold_up_another(bench: OpenBench, provider: ScriptedProvider) -> None:
    one_reserve = Decimal(RESERVE) / 10**9
    b = await bench(budgets={"task:full": one_reserve, "task:free": 1})
    provider.otherwise = lambda _request: Reply(takes_s=5.0)
    full = [asyncio.create_task(b.llm.complete(ask(), charged_to("task:full"))) for _ in range(3)]
    await asyncio.sleep(0)
    free = await b.llm.complete(ask(), charged_to("task:free"))
    assert free.latency_s == pytest.approx(5.0)
    done = await asyncio.gather(*full)
    assert sum(answer.status == "ok" for answer in done) == 1
    assert {answer.reason for answer in done} == {None, "budget_exhausted"}


async def test_money_held_by_others_is_waited_for_and_wakes_the_waiting(
    bench: OpenBench, provider: ScriptedProvider, time: VirtualTime, state_url: str
) -> None:
    b = await bench(state=state_url, budgets={"task:t": Decimal(2 * RESERVE) / 10**9})
    provider.otherwise = lambda _request: Reply(takes_s=7.0)
    done = await asyncio.gather(*(b.llm.complete(ask(), charged_to("task:t")) for _ in range(4)))
    assert [answer.status for answer in done] == ["ok"] * 4
    assert provider.peak_in_flight == 2
    assert sorted(at - START for at in provider.sent_at) == pytest.approx([0.0, 0.0, 7.0, 14.0], abs=1e-6)


async def test_money_that_is_never_given_back_ends_in_budget_exhausted_at_the_deadline(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(budgets={"task:t": Decimal(RESERVE) / 10**9})
    provider.replies.append(Reply(takes_s=50.0))
    first = asyncio.create_task(b.llm.complete(ask(), charged_to("task:t")))
    await provider.reached.wait()
    done = await b.llm.complete(ask(), charged_to("task:t", deadline_s=15.0))
    assert (done.reason, done.latency_s) == ("budget_exhausted", pytest.approx(15.0))
    assert (await first).status == "ok"


async def test_nearly_all_of_a_cap_can_be_used(bench: OpenBench, provider: ScriptedProvider, state_url: str) -> None:
    cap = 100 * RESERVE
    b = await bench(state=state_url, budgets={"day": Decimal(cap) / 10**9})
    provider.otherwise = lambda _request: Reply(takes_s=1.0, input_tokens=20, output_tokens=10)
    done = await asyncio.gather(*(b.llm.complete(ask(), charged_to("day")) for _ in range(180)))
    assert cap * 95 // 100 <= provider.billed_nano_usd <= cap
    assert {answer.reason for answer in done} == {None, "budget_exhausted"}
    assert sum(answer.cost_nano_usd for answer in done) == provider.billed_nano_usd


async def test_a_lowered_cap_binds_other_clients_at_once(
    bench: OpenBench, provider: ScriptedProvider, tmp_path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, two = await bench(state=url, budgets={"day": 1}), await bench(state=url, budgets={"day": 1})
    assert (await one.llm.complete(ask(), charged_to("day"))).status == "ok"
    await two.llm.set_cap("day", Decimal(0))
    assert (await one.llm.complete(ask(), charged_to("day"))).reason == "budget_exhausted"
