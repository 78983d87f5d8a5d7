"""What the core learns from a provider that says that nothing is left of its rate limit."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator

import pytest
from core.asking import ask
from core.conftest import MODEL, OpenBench
from core.scripted import START, Reply, ScriptedProvider
from servers.openai_server import Body, Fault, OpenAIServer

from domain.errors import FaultClass, ProviderError
from resources.llm import CoreSettings, open_client
from resources.llm.outcomes import MAX_PAUSE_S

TAKEN = 3
WINDOW_S = 0.3


class WindowedLimit:
    """A provider's own limit: `TAKEN` requests per `WINDOW_S` of its clock, told in headers; a 429 for any more."""

    def __init__(self, style: str) -> None:
        self.style = style
        self.openings: list[float] = []
        self.used = 0
        self.turned_away = 0

    def __call__(self, _index: int, _body: Body) -> Fault:
        now = time.monotonic()
        if not self.openings or now >= self.openings[-1] + WINDOW_S:
            self.openings.append(now)
            self.used = 0
        if self.used == TAKEN:
            self.turned_away += 1
            return Fault(status=429)
        self.used += 1
        return Fault(headers=self._headers(TAKEN - self.used, self.openings[-1] + WINDOW_S - now))

    def _headers(self, left: int, seconds: float) -> dict[str, str]:
        milliseconds = math.ceil(seconds * 1000)
        if self.style == "openai":
            return {"x-ratelimit-remaining-requests": f"{left}", "x-ratelimit-reset-requests": f"{milliseconds}ms"}
        return {"RateLimit": f'"default";r={left};t={milliseconds / 1000}'}


@pytest.fixture(params=["openai", "ietf"])
def limited(request: pytest.FixtureRequest) -> Iterator[tuple[OpenAIServer, WindowedLimit]]:
    limit = WindowedLimit(request.param)
    with OpenAIServer(faults=limit) as server:
        yield server, limit


async def test_a_client_without_limits_stops_until_the_reset_and_then_goes_on(
    limited: tuple[OpenAIServer, WindowedLimit], ledger_url: str
) -> None:
    server, limit = limited
    settings = CoreSettings.parse({"state": "memory", "ledger": ledger_url, "endpoints": {"openai": server.endpoint}})
    async with open_client(settings) as llm:
        done = [await llm.complete(ask(f"{n}", model="openai/m")) for n in range(3 * TAKEN)]
    assert {answer.status for answer in done} == {"ok"}
    assert limit.turned_away == 0
    assert len(server.bodies) == 3 * TAKEN
    assert len(limit.openings) >= 3, "more where a machine is too slow to use up a window"
    assert all(later - earlier < WINDOW_S + 8 for earlier, later in itertools.pairwise(limit.openings))


@pytest.mark.parametrize("state_url", ["sqlite", "redis"], indirect=True)
async def test_processes_on_one_store_learn_it_from_each_other(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    one, other = await bench(state=state_url), await bench(state=state_url)
    provider.replies.append(Reply(pause_s=7))
    await one.llm.complete(ask("a"))
    assert (await other.llm.health()).models[0].paused_until == START + 7
    assert (await other.llm.complete(ask("b"))).status == "ok"
    assert provider.sent_at == [START, START + 7]


async def test_a_pause_is_capped_and_answers_of_other_models_do_not_mind(
    bench: OpenBench, provider: ScriptedProvider
) -> None:
    b = await bench(max_wait_s=5)
    provider.replies.append(Reply(pause_s=1e9))
    await b.llm.complete(ask("a"))
    (model,) = (await b.llm.health()).models
    assert (model.model, model.paused_until) == (MODEL, START + MAX_PAUSE_S)
    assert (await b.llm.complete(ask("b", model="scripted/other"))).status == "ok"
    turned_away = await b.llm.complete(ask("c"))
    assert (turned_away.status, turned_away.reason) == ("fallback", "rate_limited")
    assert len(provider.sent) == 2


@pytest.mark.parametrize("fault", list(FaultClass))
async def test_a_wait_that_a_provider_asks_for_is_kept_whatever_the_fault(
    bench: OpenBench, provider: ScriptedProvider, fault: FaultClass
) -> None:
    b = await bench(retry={"max_attempts": 1}, max_wait_s=0)
    provider.replies.append(Reply(fault=fault, retry_after_s=30))
    with contextlib.suppress(ProviderError):  # the caller's own errors are raised, the others fall back
        await b.llm.complete(ask("a"))
    (model,) = (await b.llm.health()).models
    assert model.paused_until == START + 30


async def test_a_wait_without_a_time_follows_a_429_only(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench(retry={"max_attempts": 1}, rate_limit_pause_s=2)
    for fault, until in ((FaultClass.SERVER, None), (FaultClass.RATE_LIMITED, START + 2)):
        provider.replies.append(Reply(fault=fault))
        await b.llm.complete(ask(fault.value))
        assert (await b.llm.health()).models[0].paused_until == until
