"""Providers that bill too much, tell the wrong usage or turn requests away, and what the books say of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos.crowd import ledger_path, shared_settings

from benchmarks.books import Books, read_attempts, set_against
from benchmarks.meter import Behaviour
from benchmarks.provider import ProviderProcess, start_provider
from benchmarks.stores import Scope, Store
from domain.errors import UnansweredError
from resources.llm import CallContext, CoreSettings, LLMClient, Message, Request, open_client
from resources.llm.events import Event, Overrun, ScopeFrozen

SCOPES = ("org", "task:odd")
MAX_TOKENS = 16


@pytest.fixture
def provider() -> Iterator[ProviderProcess]:
    with start_provider() as started:
        yield started


def _settings(folder: Path, store: Store, provider: ProviderProcess, **changes: Any) -> CoreSettings:
    budgets = dict.fromkeys(SCOPES, "0.001")
    return CoreSettings.parse(shared_settings(folder, store.url, provider.base_url, budgets=budgets, **changes))


async def _ask(llm: LLMClient, row: str) -> str:
    context = CallContext(task="odd", row_id=row, scopes=SCOPES, allow_fallback=False)
    return (await llm.complete(Request("openai/m", (Message("user", f"{row} what now"),), MAX_TOKENS), context)).text


def _books(folder: Path, store: Store, provider: ProviderProcess) -> Books:
    return set_against(provider.invoice(), read_attempts(ledger_path(folder)), store.scopes())


async def test_a_bill_above_the_reserve_is_an_overrun_that_alarms_and_freezes(
    tmp_path: Path, store: Store, provider: ProviderProcess, caplog: pytest.LogCaptureFixture
) -> None:
    provider.behave(Behaviour(overlong_share=1.0, answer="word " * 30))
    settings, seen = _settings(tmp_path, store, provider), list[Event]()
    async with open_client(settings) as llm, open_client(settings) as another:
        llm.subscribe(seen.append)
        await _ask(llm, "r1")
        for client in (llm, another):
            with pytest.raises(UnansweredError, match="frozen") as refused:
                await _ask(client, "r2")
            assert refused.value.reason == "budget_exhausted"
        await llm.flush()
        (line,) = provider.invoice()
        (overrun,) = [event for event in seen if isinstance(event, Overrun)]
        assert overrun.cost_nano_usd == line.nano_usd > overrun.reserved_nano_usd
        assert {event.scope for event in seen if isinstance(event, ScopeFrozen)} == set(SCOPES)
        alarms = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert all(any(f"scope {name} is frozen" in alarm for alarm in alarms) for name in SCOPES)
        assert store.scopes() == [Scope(name, line.nano_usd, 0, 0, frozen=True) for name in SCOPES]
        assert [attempt.charge for attempt in read_attempts(ledger_path(tmp_path))] == ["overrun"]
        assert _books(tmp_path, store, provider).differences == []

        provider.behave(Behaviour())
        for name in SCOPES:
            await llm.unfreeze(name)
        await _ask(another, "r3")
    assert _books(tmp_path, store, provider).differences == []
    assert provider.counts()["billed"] == 2


@pytest.mark.parametrize(
    "liar", [Behaviour(overstate_share=1.0), Behaviour(understate_share=1.0)], ids=["more", "less"]
)
async def test_a_provider_that_tells_the_wrong_usage_is_found_line_by_line(
    tmp_path: Path, store: Store, provider: ProviderProcess, liar: Behaviour
) -> None:
    provider.behave(liar)
    async with open_client(_settings(tmp_path, store, provider)) as llm:
        for row in ("r1", "r2"):
            await _ask(llm, row)
        provider.behave(Behaviour())
        await _ask(llm, "r3")
    books = _books(tmp_path, store, provider)
    told = [attempt.nano_usd for attempt in read_attempts(ledger_path(tmp_path))]
    assert books.certain == sum(told)
    assert (books.certain > books.invoice) == (liar.overstate_share > 0)
    lines = {line.key: line.nano_usd for line in provider.invoice()}
    assert len(books.differences) == 2
    for row, difference in zip(("r1", "r2"), books.differences, strict=True):
        assert f"of {row} is charged" in difference
        assert difference.endswith(f"billed was {lines[row]} to {row}")


async def test_a_429_shuts_the_model_for_all_as_long_as_it_asks_and_costs_nothing(
    tmp_path: Path, store: Store, provider: ProviderProcess
) -> None:
    allowed, retry_after_s = 3, 0.6
    provider.behave(Behaviour(requests_per_minute=allowed, retry_after_s=retry_after_s, latency_s=0.02))
    settings = _settings(tmp_path, store, provider, retry={"first_backoff_s": 0.01, "max_backoff_s": 0.01})
    async with open_client(settings) as one, open_client(settings) as other:
        calls = [_ask(client, f"{name}{number}") for name, client in (("a", one), ("b", other)) for number in range(3)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert {model.breaker for model in (await one.health()).models} == {"closed"}
    assert sum(isinstance(end, str) for end in ends) == allowed
    refused = [end for end in ends if isinstance(end, UnansweredError)]
    assert {end.reason for end in refused} == {"provider_error"}, ends
    assert len(refused) == len(ends) - allowed
    attempts = read_attempts(ledger_path(tmp_path))
    turned_away = [attempt for attempt in attempts if attempt.outcome == "rate_limited"]
    assert {attempt.charge for attempt in turned_away} == {"free"}
    for earlier in turned_away:
        pause = (earlier.settled_at + 0.001, earlier.settled_at + retry_after_s - 0.001)
        assert not [attempt for attempt in attempts if pause[0] < attempt.admitted_at < pause[1]]
    assert len(attempts) == provider.counts()["requests"] > allowed
    assert _books(tmp_path, store, provider).differences == []
