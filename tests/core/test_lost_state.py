"""A state server that forgets everything while clients go on: caps hold, and spend comes back from the ledger."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from core.asking import ask, charged_to
from core.conftest import Bench, OpenBench
from core.scripted import Reply, ScriptedProvider
from servers.valkey import ValkeyServer

from domain.errors import DatabaseUnavailableError, StateUnavailableError
from resources.llm.ledger_database import LedgerDatabase
from resources.llm.types import Completion

DAY = "day:2026-11-22"


async def under_way(b: Bench, provider: ScriptedProvider) -> tuple[asyncio.Task[Completion], asyncio.Event]:
    """A call that is at the provider, and what lets its answer come."""
    answer_comes = asyncio.Event()
    provider.time.busy.append(lambda: not answer_comes.is_set())
    provider.replies.append(Reply(takes_s=1.0))
    call = asyncio.create_task(b.llm.complete(ask(), charged_to("day")))
    await provider.reached.wait()
    return call, answer_comes


async def test_an_emptied_server_gets_its_spend_back_before_anything_is_admitted(
    bench: OpenBench, provider: ScriptedProvider, forgetful_server: ValkeyServer
) -> None:
    # So long a lease that no beat of its own comes before the one below.
    b = await bench(state=forgetful_server.url(), budgets={"day": Decimal("0.001")}, lease_s=600)
    for _ in range(5):
        await b.llm.complete(ask(), charged_to("day"))
    await b.llm.flush()
    spent = (await b.scope(DAY)).settled_nano_usd
    sent = len(provider.sent)
    assert spent > 0
    forgetful_server.stop()
    forgetful_server.start()

    async def impatient() -> str:
        while True:
            try:
                return (await b.llm.complete(ask(), charged_to("day"))).status
            except StateUnavailableError:
                await asyncio.sleep(0)

    caller = asyncio.create_task(impatient())
    await asyncio.sleep(0.02)
    assert len(provider.sent) == sent
    await b.llm._core.heartbeat.beat()
    assert await caller == "ok"
    assert (await b.scope(DAY)).settled_nano_usd == spent // 5 * 6


@pytest.mark.parametrize("answered", ["while it is away", "after it is back"])
@pytest.mark.parametrize("first_back", ["itself", "another process"])
async def test_what_was_under_way_when_the_server_forgot_is_booked_like_any_other(
    bench: OpenBench, provider: ScriptedProvider, forgetful_server: ValkeyServer, answered: str, first_back: str
) -> None:
    settings = {"state": forgetful_server.url(), "budgets": {"day": Decimal("0.001")}}
    b, other = await bench(**settings), await bench(**settings)
    await b.llm.complete(ask(), charged_to("day"))
    await b.llm.flush()
    cost = (await b.scope(DAY)).settled_nano_usd
    provider.reached.clear()
    call, answer_comes = await under_way(b, provider)
    forgetful_server.command("FLUSHALL")

    async def come_back() -> None:
        for client in (b, other) if first_back == "itself" else (other, b):
            await client.llm._core.heartbeat.beat()

    if answered == "after it is back":
        await come_back()
        held = await b.scope(DAY)
        assert (held.settled_nano_usd, held.reserved_nano_usd) == (cost, 50 * 100 + 10 * 400)
    answer_comes.set()
    assert (await call).status == "ok"
    if answered == "while it is away":
        await come_back()
    state = await b.scope(DAY)
    assert (state.settled_nano_usd, state.ambiguous_nano_usd, state.reserved_nano_usd) == (2 * cost, 0, 0)
    assert [attempt.charge for attempt in await b.attempts()] == ["settled", "settled"]
    assert sum(attempt.cost_nano_usd for attempt in await b.attempts()) == provider.billed_nano_usd


async def test_what_is_answered_between_a_loss_and_the_end_of_its_process_is_booked(
    bench: OpenBench, provider: ScriptedProvider, forgetful_server: ValkeyServer
) -> None:
    settings = {"state": forgetful_server.url(), "budgets": {"day": Decimal("0.001")}, "lease_s": 600}
    b = await bench(**settings)
    call, answer_comes = await under_way(b, provider)
    forgetful_server.command("FLUSHALL")
    answer_comes.set()
    assert (await call).status == "ok"
    await b.llm.close()
    later = await bench(**settings)
    assert [(one.charge, one.cost_nano_usd) for one in await later.attempts()] == [
        ("settled", provider.billed_nano_usd)
    ]
    assert (await later.scope(DAY)).settled_nano_usd == provider.billed_nano_usd


async def test_while_the_ledger_cannot_say_what_was_spent_nothing_is_admitted(
    bench: OpenBench, provider: ScriptedProvider, forgetful_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = await bench(state=forgetful_server.url(), budgets={"day": Decimal("0.001")})
    await b.llm.complete(ask(), charged_to("day"))
    await b.llm.flush()
    forgetful_server.stop()
    forgetful_server.start()

    def away(*_: object) -> None:
        raise DatabaseUnavailableError("The ledger is away.")

    with monkeypatch.context() as patch:
        patch.setattr(LedgerDatabase, "rebuilding", away)
        for _ in range(2):
            await b.llm._core.heartbeat.beat()
            with pytest.raises(StateUnavailableError, match="rebuilt from the ledger"):
                await b.llm.complete(ask(), charged_to("day"))
    await b.llm._core.heartbeat.beat()
    assert (await b.llm.complete(ask(), charged_to("day"))).status == "ok"
    assert len(provider.sent) == 2


async def test_a_restoration_cut_off_before_the_caps_set_by_hand_is_done_anew(
    bench: OpenBench, provider: ScriptedProvider, forgetful_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = await bench(state=forgetful_server.url())
    await b.llm.complete(ask(), charged_to("run:7"))
    await b.llm.set_cap("run:7", Decimal(0))
    await b.llm.flush()
    forgetful_server.command("FLUSHALL")

    def away(*_: object) -> None:
        raise DatabaseUnavailableError("The ledger is away.")

    with monkeypatch.context() as patch:
        patch.setattr(LedgerDatabase, "caps", away)
        await b.llm._core.heartbeat.beat()
    await b.llm._core.heartbeat.beat()
    assert (await b.llm.complete(ask(), charged_to("run:7"))).reason == "budget_exhausted"
    assert len(provider.sent) == 1


async def test_a_server_away_when_the_client_opens(bench: OpenBench, forgetful_server: ValkeyServer) -> None:
    forgetful_server.stop()
    with pytest.raises(StateUnavailableError, match="`state` setting"):
        await bench(state=forgetful_server.url())
