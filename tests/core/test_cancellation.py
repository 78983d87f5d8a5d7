"""A call cancelled at any moment leaves no reserve held, no lead taken and no money unbooked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from core.asking import ask, charged_to
from core.conftest import OpenBench
from core.scripted import Reply, ScriptedProvider

from domain.errors import StateUnavailableError
from resources.llm import opening
from resources.llm.background import Background
from resources.llm.state import open_state_store
from resources.llm.state.protocol import Admitted, StateStore

STEPS = 40


class FarAway:
    """A store behind a network: every request takes a while to get there, and its answer a while to come back."""

    def __init__(self, near: StateStore) -> None:
        self._near = near

    def cache_peek(self, _key: str, _now: float) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._near, name)

        async def travelled(*args: Any) -> Any:
            for _ in range(3):
                await asyncio.sleep(0)
            result = await method(*args)
            for _ in range(3):
                await asyncio.sleep(0)
            return result

        return travelled


@pytest.fixture(params=["memory", "sqlite", "far away"])
def any_state_url(request: pytest.FixtureRequest, tmp_path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "far away":
        monkeypatch.setattr(opening, "open_state_store", lambda _url: FarAway(open_state_store("memory")))
    return f"sqlite:///{tmp_path / 'state.db'}" if request.param == "sqlite" else "memory"


async def test_cancelled_at_any_step_the_books_close_and_the_next_one_leads(
    bench: OpenBench, provider: ScriptedProvider, any_state_url: str
) -> None:
    b = await bench(state=any_state_url, budgets={"day": 1})
    outcomes = set()
    for steps in range(1, STEPS + 1):
        provider.replies.append(Reply(takes_s=1.0))
        question = ask(f"{steps}", temperature=0.0)
        call = asyncio.create_task(b.llm.complete(question, charged_to("day")))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        outcomes.add((await asyncio.gather(call, return_exceptions=True))[0].__class__.__name__)
        provider.replies.clear()
        await b.llm._core.background.drain_all()
        before = provider.time.now
        assert (await b.llm.complete(question, charged_to("day"))).status == "ok"
        assert provider.time.now - before < 1.0
    assert "CancelledError" in outcomes
    await b.llm.flush()
    attempts = await b.attempts()
    day = await b.scope("day:2026-11-22")
    assert day.reserved_nano_usd == 0
    assert len({attempt.outcome for attempt in attempts}) >= 2
    assert day.settled_nano_usd == sum(a.cost_nano_usd for a in attempts if a.charge == "settled")
    assert day.ambiguous_nano_usd == sum(a.cost_nano_usd for a in attempts if a.charge == "ambiguous")
    assert len(provider.sent) == sum(a.charge != "free" for a in attempts)
    assert len(await b.calls()) == 2 * STEPS


async def test_followers_are_freed_wherever_their_leader_is_cancelled(
    bench: OpenBench, provider: ScriptedProvider, any_state_url: str
) -> None:
    b = await bench(state=any_state_url, budgets={"day": 1})
    for steps in range(STEPS):
        question = ask(f"{steps}", temperature=0.0)
        calls = [asyncio.create_task(b.llm.complete(question, charged_to("day"))) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        calls[0].cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [answer.status for answer in done[1:]] == ["ok", "ok"]  # pyright: ignore
    assert provider.time.now - 1_795_305_600.0 < 5.0


async def test_a_step_that_happened_after_all_is_undone() -> None:
    background = Background(cancels_cleanly=False)
    under_way, undone = asyncio.Event(), []

    async def step() -> Admitted:
        under_way.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return Admitted()

    caller = asyncio.create_task(background.undoable(step, undone.append))
    await under_way.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await background.drain()
    await asyncio.sleep(0)
    assert undone == [Admitted()]


@pytest.mark.parametrize("cancels_cleanly", [True, False])
async def test_a_step_that_must_happen_does_and_its_failure_is_quiet(cancels_cleanly: bool) -> None:
    background = Background(cancels_cleanly=cancels_cleanly)
    under_way, ended = asyncio.Event(), []

    async def step() -> None:
        under_way.set()
        await asyncio.sleep(0)
        ended.append(True)
        raise StateUnavailableError("away")

    caller = asyncio.create_task(background.finish(step))
    await under_way.wait()
    caller.cancel()
    (result,) = await asyncio.gather(caller, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError)
    await background.drain()
    assert ended == [True]
