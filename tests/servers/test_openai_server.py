"""The loopback provider is the judge of the ledger, so it is tested against hand-made bills."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from servers.billing import Tariff, count_input, count_tokens, cut_to_tokens, price_nano_usd
from servers.openai_server import Answer, Fault, OpenAIServer

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello, world"}], "max_tokens": 9}
HEADERS = {"Authorization": "Bearer test-key"}


async def post(server: OpenAIServer, body: dict[str, Any] | None = None, **options: Any) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{server.base_url}/chat/completions", json=body or BODY, **{"headers": HEADERS, **options}
        ) as answer,
    ):
        return answer.status, json.loads(await answer.read())


def test_tokens_and_prices_by_hand() -> None:
    assert count_tokens("hello, worlds!") == 5
    assert cut_to_tokens("hello, worlds!", 3) == ("hello, world", True)
    assert count_input(BODY) == 3 + 4 + 3
    assert price_nano_usd(Tariff("0.15", "0.60"), 10, 2, 0) == 10 * 150 + 2 * 600
    assert price_nano_usd(Tariff("0.15", "0.60", "0.075"), 10, 2, 4) == 6 * 150 + 4 * 75 + 2 * 600
    assert price_nano_usd(Tariff("0.0001", "0"), 1, 0, 0) == 1


async def test_bills_what_it_received_and_said() -> None:
    answer = Answer("one two", cached_input_tokens=4)
    with OpenAIServer(lambda _: answer, {"m": Tariff("1", "2", "0.5")}) as server:
        _, reply = await post(server)
        assert reply["usage"]["prompt_tokens"] == 10
        assert server.invoice_nano_usd("m") == server.invoice_nano_usd() == 6 * 1000 + 4 * 500 + 2 * 2000
        assert server.invoice_nano_usd("other") == 0


@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        (Fault(status=500), False),
        (Fault(status=500, billed=True), True),
        (Fault(missing_usage=True), True),
        (Fault(reported_usage={"prompt_tokens": 1, "completion_tokens": 0}), True),
        (Fault(raw_body=b"{}"), True),
        (Fault(billed=False), False),
    ],
)
async def test_lies_and_faults_leave_the_invoice_true(fault: Fault, billed: bool) -> None:
    with OpenAIServer(tariffs={"m": Tariff("1", "1")}) as server:
        server.fail_next(fault)
        await post(server)
        assert server.invoice_nano_usd() == (11_000 if billed else 0)
        await post(server)
        assert server.invoice_nano_usd() == (22_000 if billed else 11_000)


async def test_a_client_that_vanished_is_billed() -> None:
    with OpenAIServer(tariffs={"m": Tariff("1", "1")}) as server:
        server.fail_next(Fault(latency_s=1.5))
        with pytest.raises(TimeoutError):
            await post(server, timeout=aiohttp.ClientTimeout(total=0.5))
        while server.open_requests:  # noqa: ASYNC110 (it lives in another thread)
            await asyncio.sleep(0.005)
        assert [line.client_vanished for line in server.invoice] == [True]
        assert server.invoice_nano_usd() == 11_000


async def test_a_rule_chooses_faults_by_index_and_wrong_keys_are_refused_unbilled() -> None:
    with OpenAIServer(faults=lambda index, _: Fault(status=503) if index == 1 else None) as server:
        statuses = [(await post(server))[0] for _ in range(3)]
        assert statuses == [200, 503, 200]
        assert (await post(server, headers={}))[0] == 401
        assert len(server.invoice) == 2


async def test_canaries_are_found_in_the_raw_bytes() -> None:
    with OpenAIServer() as server:
        await post(server, {**BODY, "messages": [{"role": "user", "content": "secret é\n1"}]})
        assert server.received("secret é")
        assert server.received("é\n1")
        assert not server.received("other")
