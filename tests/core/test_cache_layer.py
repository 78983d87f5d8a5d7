from __future__ import annotations

import asyncio

import pytest
from core.asking import ask, charged_to
from core.conftest import OpenBench
from core.scripted import Reply, ScriptedProvider, VirtualTime

from domain.errors import FaultClass, InputError, ProviderError, StateUnavailableError, UnansweredError
from resources.llm import CallContext
from resources.llm.types import FinishReason

SAME = ask(temperature=0.0)


async def test_a_hit_is_a_call_of_its_own_that_names_its_origin(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    b = await bench(state=state_url, budgets={"day": "1", "task:t": "1"})
    provider.replies.append(Reply(takes_s=2.0))
    first = await b.llm.complete(SAME, charged_to("day"))
    hit = await b.llm.complete(SAME, charged_to("task:t", task="t", row_id="r"))
    assert len(provider.sent) == 1
    assert (hit.text, hit.cached, hit.cost_nano_usd, hit.attempts) == (first.text, True, 0, 0)
    assert hit.call_id != first.call_id == hit.origin_call_id
    assert (hit.origin_cost_nano_usd, hit.usage) == (first.cost_nano_usd, first.usage)
    assert first.origin_latency_s == hit.origin_latency_s == pytest.approx(2.0)
    by_id = {call.call_id: call for call in await b.calls()}
    assert by_id[hit.call_id].origin_call_id == first.call_id
    assert (by_id[hit.call_id].cached, by_id[hit.call_id].row_id, by_id[hit.call_id].cost_nano_usd) == (True, "r", 0)
    assert len(await b.attempts()) == 1


@pytest.mark.parametrize("fields", [{"temperature": 0.7}, {"temperature": 0.7, "seed": 1}])
async def test_fresh_draws_are_never_cached(bench: OpenBench, provider: ScriptedProvider, fields: dict) -> None:
    b = await bench()
    for _ in range(2):
        assert not (await b.llm.complete(ask(**fields))).cached
    assert len(provider.sent) == 2


async def test_each_numbered_sample_is_its_own_draw(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    hits = [(await b.llm.complete(ask(temperature=0.7, sample=n))).cached for n in (0, 1, 0, 1, 2)]
    assert hits == [False, False, True, True, False]


async def test_entries_end_with_their_time(bench: OpenBench, provider: ScriptedProvider, time: VirtualTime) -> None:
    b = await bench(cache={"ttl_s": 100})
    await b.llm.complete(SAME)
    time.now += 99
    assert (await b.llm.complete(SAME)).cached
    time.now += 2
    assert not (await b.llm.complete(SAME)).cached


@pytest.mark.parametrize("state_url", ["sqlite", "redis"], indirect=True)
async def test_namespaces_share_neither_answers_nor_clearing(bench: OpenBench, state_url: str) -> None:
    a = await bench(state=state_url, cache={"namespace": "team_a"})
    b = await bench(state=state_url, cache={"namespace": "team_b"})
    nameless = await bench(state=state_url)
    for team in (a, b, nameless):
        assert not (await team.llm.complete(SAME)).cached
        assert (await team.llm.complete(SAME)).cached
    assert (await nameless.llm.cache_stats("team_a")).entries == 1
    assert (await nameless.llm.cache_stats()).entries == 3
    assert await nameless.llm.clear_cache("team_a") == 1
    assert [(await team.llm.complete(SAME)).cached for team in (a, b, nameless)] == [False, True, True]


async def test_it_can_be_turned_off_and_cleared(bench: OpenBench, provider: ScriptedProvider) -> None:
    off = await bench(cache={"enabled": False})
    await off.llm.complete(SAME)
    assert not (await off.llm.complete(SAME)).cached
    on = await bench()
    await on.llm.complete(SAME)
    assert await on.llm.clear_cache() == 1
    assert not (await on.llm.complete(SAME)).cached


async def test_a_call_that_only_reads_leaves_everybodys_answers_alone(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    b = await bench(state=state_url, cache={"max_entries": 2})
    reading = CallContext(purpose="batch", cache="read")
    served = [ask(f"served {number}", temperature=0.0) for number in range(2)]
    for request in served:
        await b.llm.complete(request)
    for number in range(5):
        assert not (await b.llm.complete(ask(f"row {number}", temperature=0.0), reading)).cached
    assert (await b.llm.cache_stats()).entries == 2
    assert [(await b.llm.complete(request, reading)).cached for request in served] == [True, True]
    assert not (await b.llm.complete(ask("row 0", temperature=0.0))).cached
    assert len(provider.sent) == 8


async def test_identical_calls_at_once_that_only_read_make_one_attempt(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    b = await bench(state=state_url)
    provider.otherwise = lambda _request: Reply(takes_s=1.0)
    contexts = [CallContext(row_id=str(number), cache="read" if number else "on") for number in range(6)]
    for rows in (contexts[1:], contexts):
        before = len(provider.sent)
        done = await asyncio.gather(*(b.llm.complete(SAME, context) for context in rows))
        assert len(provider.sent) == before + 1
        assert sorted(answer.cached for answer in done) == [False] + [True] * (len(rows) - 1)
        (paid,) = {answer.origin_call_id for answer in done if answer.cached}
        assert paid == next(answer.call_id for answer in done if not answer.cached)
    assert (await b.llm.cache_stats()).entries == 1, "whoever stores leads where it asks first"


async def test_when_one_that_only_reads_fails_a_follower_asks(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(retry={"max_attempts": 1})
    provider.replies.extend([Reply(fault=FaultClass.SERVER, takes_s=1.0), Reply("second", takes_s=1.0)])
    context = CallContext(cache="read", allow_fallback=False)
    done = await asyncio.gather(*(b.llm.complete(SAME, context) for _ in range(3)), return_exceptions=True)
    assert [getattr(one, "text", None) for one in done].count("second") == 2
    assert len(provider.sent) == 2


async def test_a_call_may_pass_the_cache_by(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    await b.llm.complete(SAME)
    passing = CallContext(cache="off")
    done = await asyncio.gather(*(b.llm.complete(SAME, passing) for _ in range(2)))
    assert [answer.cached for answer in done] == [False, False]
    assert len(provider.sent) == 3
    with pytest.raises(InputError, match="cache"):
        await b.llm.complete(SAME, CallContext(cache="never"))  # pyright: ignore


@pytest.mark.parametrize("finish_reason", ["length", "refusal", "other"])
async def test_unwhole_answers_are_not_kept(bench: OpenBench, provider: ScriptedProvider, finish_reason: str) -> None:
    b = await bench()
    provider.replies.append(Reply(finish_reason=finish_reason))  # pyright: ignore
    first = await b.llm.complete(SAME)
    assert (first.status, first.finish_reason) == ("ok", finish_reason)
    assert not (await b.llm.complete(SAME)).cached


@pytest.mark.parametrize("finish_reason", ["length", "refusal"])
@pytest.mark.parametrize("state_url", ["memory", "sqlite"], indirect=True)
async def test_identical_calls_at_once_share_an_answer_that_is_not_kept(
    bench: OpenBench, provider: ScriptedProvider, state_url: str, finish_reason: FinishReason
) -> None:
    b = await bench(state=state_url)
    provider.otherwise = lambda _request: Reply("half an", finish_reason=finish_reason, takes_s=0.2)
    context = charged_to("org", deadline_s=2.0)
    done = await asyncio.gather(*(b.llm.complete(SAME, context) for _ in range(30)))
    assert len(provider.sent) == 1
    assert {(answer.status, answer.text, answer.finish_reason) for answer in done} == {("ok", "half an", finish_reason)}
    paid = next(answer for answer in done if not answer.cached)
    assert {answer.origin_call_id for answer in done if answer is not paid} == {paid.call_id}
    assert sum(answer.cost_nano_usd for answer in done) == provider.billed_nano_usd == paid.cost_nano_usd
    assert not (await b.llm.complete(SAME, context)).cached


async def test_a_stand_ins_answer_is_shared_only_with_calls_that_may_fall_back(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(fallback={"models": {SAME.model: ["scripted/other"]}}, retry={"max_attempts": 1})
    provider.replies.append(Reply(fault=FaultClass.SERVER, takes_s=0.2))
    provider.otherwise = lambda request: Reply(f"from {request.model}", takes_s=0.2)
    contexts = [charged_to("org", allow_fallback=number < 5) for number in range(10)]
    done = await asyncio.gather(*(b.llm.complete(SAME, context) for context in contexts))
    assert [answer.model for answer in done] == ["scripted/other"] * 5 + [SAME.model] * 5
    assert [request.model for request in provider.sent] == [SAME.model, "scripted/other", SAME.model]


async def test_identical_calls_at_once_make_one_attempt_and_the_leader_pays(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    b = await bench(state=state_url, budgets={f"task:{n}": "1" for n in range(20)})
    provider.otherwise = lambda _request: Reply(takes_s=1.0)
    done = await asyncio.gather(*(b.llm.complete(SAME, charged_to(f"task:{n}")) for n in range(20)))
    assert len(provider.sent) == 1
    assert sorted(answer.cached for answer in done) == [False] + [True] * 19
    assert len({answer.call_id for answer in done}) == 20
    charged = [state.scope for state in await b.llm.budgets() if state.settled_nano_usd]
    leader = next(n for n, answer in enumerate(done) if not answer.cached)
    assert charged == [f"task:{leader}"]


async def test_two_clients_on_one_store_share_one_flight(
    bench: OpenBench, provider: ScriptedProvider, tmp_path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, two = await bench(state=url), await bench(state=url)
    provider.otherwise = lambda _request: Reply(takes_s=1.0)
    done = await asyncio.gather(one.llm.complete(SAME), two.llm.complete(SAME))
    assert len(provider.sent) == 1
    assert {answer.cached for answer in done} == {True, False}
    assert [client.llm._layers._inner._flights for client in (one, two)] == [{}, {}]  # pyright: ignore


async def test_when_the_leader_is_cancelled_a_follower_leads(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.replies.extend([Reply(hangs=True), Reply("second")])
    leader = asyncio.create_task(b.llm.complete(SAME))
    await provider.reached.wait()
    followers = [asyncio.create_task(b.llm.complete(SAME)) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    done = await asyncio.gather(*followers)
    assert [answer.text for answer in done] == ["second"] * 3
    assert len(provider.sent) == 2


async def test_when_the_leader_is_refused_a_follower_with_money_leads(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(budgets={"task:poor": "0", "task:rich": "1"})
    poor, rich = await asyncio.gather(
        b.llm.complete(SAME, charged_to("task:poor")), b.llm.complete(SAME, charged_to("task:rich"))
    )
    assert (poor.status, poor.reason) == ("fallback", "budget_exhausted")
    assert (rich.status, rich.cached) == ("ok", False)
    assert len(provider.sent) == 1


async def test_when_the_leader_fails_nothing_is_kept(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.replies.append(Reply(fault=FaultClass.INVALID_REQUEST))
    with pytest.raises(ProviderError):
        await b.llm.complete(SAME)
    assert (await b.llm.complete(SAME)).status == "ok"


async def test_a_follower_waits_no_longer_than_its_deadline(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.replies.append(Reply(takes_s=50.0))
    leader = asyncio.create_task(b.llm.complete(SAME))
    await provider.reached.wait()
    with pytest.raises(UnansweredError) as caught:
        await b.llm.complete(SAME, charged_to(deadline_s=3.0, allow_fallback=False))
    assert caught.value.reason == "deadline"
    assert not leader.done()
    assert (await leader).status == "ok"


async def test_calls_go_on_without_a_cache_that_is_away_and_one_warning_says_so(
    bench: OpenBench, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    b = await bench(budgets={"day": "1"})

    async def away(*_: object) -> None:
        raise StateUnavailableError("The state store is away.")

    def warnings() -> list[str]:
        return [record.message for record in caplog.records if "without it" in record.message]

    with monkeypatch.context() as patch:
        patch.setattr(b.llm._core.store, "cache_lookup", away)
        patch.setattr(b.llm._core.store, "cache_peek", lambda _key, _now: None)
        for _ in range(3):
            assert not (await b.llm.complete(SAME, charged_to("day"))).cached
        assert len(warnings()) == 1
    assert not (await b.llm.complete(SAME, charged_to("day"))).cached
    assert (await b.llm.complete(SAME, charged_to("day"))).cached
    assert len(provider.sent) == 4
    with monkeypatch.context() as patch:
        patch.setattr(b.llm._core.store, "cache_lookup", away)
        patch.setattr(b.llm._core.store, "cache_peek", lambda _key, _now: None)
        await b.llm.complete(SAME)
    assert len(warnings()) == 2
