"""A state server that forgets everything while clients go on: caps hold, and spend comes back from the ledger."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from core.asking import ask, charged_to
from core.conftest import OpenBench
from core.scripted import ScriptedProvider
from servers.valkey import ValkeyServer

from domain.errors import DatabaseUnavailableError, StateUnavailableError
from resources.llm.ledger_database import LedgerDatabase

DAY = "day:2026-11-22"


async def test_an_emptied_server_gets_its_spend_back_before_anything_is_admitted(
    bench: OpenBench, provider: ScriptedProvider, forgetful_server: ValkeyServer
) -> None:
    b = await bench(state=forgetful_server.url(), budgets={"day": Decimal("0.001")})
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


async def test_a_server_away_when_the_client_opens(bench: OpenBench, forgetful_server: ValkeyServer) -> None:
    forgetful_server.stop()
    with pytest.raises(StateUnavailableError, match="`state` setting"):
        await bench(state=forgetful_server.url())
