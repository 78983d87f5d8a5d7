from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from openai_calls import CANARY, KEY, ask, fault_of, provider_for, until
from pydantic import SecretStr
from servers.openai_server import Fault, OpenAIServer

from domain.errors import FaultClass
from resources.llm.providers.openai import OpenAIProvider
from resources.llm.settings import EndpointSettings


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (400, None, FaultClass.INVALID_REQUEST),
        (400, "content_filter", FaultClass.REFUSED),
        (401, None, FaultClass.AUTHENTICATION),
        (402, None, FaultClass.AUTHENTICATION),
        (403, None, FaultClass.AUTHENTICATION),
        (404, "model_not_found", FaultClass.INVALID_REQUEST),
        (408, None, FaultClass.TIMEOUT),
        (422, None, FaultClass.INVALID_REQUEST),
        (429, None, FaultClass.RATE_LIMITED),
        (429, "insufficient_quota", FaultClass.AUTHENTICATION),
        (500, None, FaultClass.SERVER),
        (502, None, FaultClass.SERVER),
        (503, None, FaultClass.SERVER),
        (504, None, FaultClass.TIMEOUT),
        (529, None, FaultClass.SERVER),
        (302, None, FaultClass.INVALID_REQUEST),
    ],
)
async def test_status_codes_have_one_class_each(
    provider: OpenAIProvider, openai_server: OpenAIServer, status: int, code: str | None, fault: FaultClass
) -> None:
    openai_server.fail_next(Fault(status=status, error={"code": code}, headers={"Location": "http://127.0.0.1:9/"}))
    error = await fault_of(provider)
    assert (error.fault, error.status_code, error.never_sent) == (fault, status, False)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.25"}, 0.25),
        ({"Retry-After-Ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "inf"}, None),
        ({}, None),
    ],
)
async def test_retry_after_in_seconds_or_as_a_date(
    provider: OpenAIProvider, openai_server: OpenAIServer, headers: dict[str, str], seconds: float | None
) -> None:
    openai_server.fail_next(Fault(status=429, headers=headers))
    assert (await fault_of(provider)).retry_after_s == seconds


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        settings = EndpointSettings(base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        provider = OpenAIProvider(settings)
        error = await fault_of(provider)
        await provider.close()
    assert (error.fault, error.never_sent) == (FaultClass.CONNECTION, True)


@pytest.mark.parametrize("cut", ["before_headers", "mid_body"])
async def test_a_cut_answer_has_an_unknown_outcome(
    provider: OpenAIProvider, openai_server: OpenAIServer, cut: Any
) -> None:
    openai_server.fail_next(Fault(cut=cut))
    error = await fault_of(provider)
    assert (error.fault, error.never_sent) == (FaultClass.CONNECTION, False)
    assert error.rule.outcome_unknown
    assert (await provider.send(ask(), 5)).text == "ok"


async def test_a_slow_answer_times_out_and_closes_its_connection(
    provider: OpenAIProvider, openai_server: OpenAIServer
) -> None:
    openai_server.fail_next(Fault(latency_s=2.0))
    error = await fault_of(provider, timeout_s=0.5)
    assert (error.fault, error.never_sent) == (FaultClass.TIMEOUT, False)
    await until(lambda: openai_server.connections_lost == 1)
    assert openai_server.invoice[0].client_vanished


async def test_waiting_for_a_connection_times_out_as_never_sent(openai_server: OpenAIServer) -> None:
    provider = provider_for(openai_server, max_connections=1)
    openai_server.fail_next(Fault(latency_s=2.0))
    first = asyncio.create_task(provider.send(ask(), 30))
    await until(lambda: openai_server.open_requests == 1)
    error = await fault_of(provider, timeout_s=0.02)
    await first
    await provider.close()
    assert (error.fault, error.never_sent) == (FaultClass.TIMEOUT, True)
    assert len(openai_server.bodies) == 1


async def test_cancelling_closes_the_connection(provider: OpenAIProvider, openai_server: OpenAIServer) -> None:
    openai_server.fail_next(Fault(latency_s=1.0))
    call = asyncio.create_task(provider.send(ask(), 5))
    await until(lambda: openai_server.open_requests == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: openai_server.connections_lost == 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"error": {"message": "overloaded"}}',
        b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": "text"}]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_answers_that_are_no_chat_completion(
    provider: OpenAIProvider, openai_server: OpenAIServer, body: bytes
) -> None:
    openai_server.fail_next(Fault(raw_body=body))
    assert (await fault_of(provider)).fault is FaultClass.MALFORMED


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401, error={"message": f"bad key {KEY}, you said {CANARY}", "code": CANARY, "type": CANARY}),
        Fault(status=400, error={"message": CANARY, "code": KEY}),
        Fault(status=500, error={"message": CANARY}),
        Fault(raw_body=f'{{"echo": "{CANARY} {KEY}"}}'.encode()),
        Fault(cut="before_headers"),
        Fault(cut="mid_body"),
        Fault(latency_s=5.0),
    ],
)
async def test_errors_hold_neither_key_nor_messages(
    provider: OpenAIProvider, openai_server: OpenAIServer, fault: Fault
) -> None:
    openai_server.fail_next(fault)
    error: BaseException | None = await fault_of(provider, ask(CANARY), timeout_s=1.0)
    assert openai_server.received(CANARY)
    while error is not None:
        seen = f"{error} {error!r} {vars(error)}"
        assert CANARY not in seen
        assert KEY not in seen
        error = error.__cause__ or error.__context__


async def test_an_answer_that_is_not_http_leaks_no_key_through_its_cause() -> None:
    async def speak_gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"NOT HTTP AT ALL\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_gibberish, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = OpenAIProvider(EndpointSettings(base_url=f"http://127.0.0.1:{port}/v1", api_key=SecretStr(KEY)))
    error = await fault_of(provider)
    await provider.close()
    server.close()
    await server.wait_closed()
    assert (error.fault, error.never_sent) == (FaultClass.CONNECTION, False)
    assert error.__cause__ is None
    assert error.__context__ is None  # aiohttp's own error quotes the request's headers
