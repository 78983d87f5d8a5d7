from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import pytest
import pytest_asyncio

# Looked for, not imported: where the provider has not yet told it not to, it asks the network for prices.
if find_spec("litellm") is None:
    pytest.skip("litellm is not installed", allow_module_level=True)

from openai_calls import CANARY, KEY, NOW_S, until
from pydantic import SecretStr
from servers.openai_server import Answer, Fault, OpenAIServer

from domain.errors import ConfigurationError, FaultClass, ProviderError
from domain.message import Message
from domain.pricing import Usage
from resources.llm.providers.litellm import LiteLLMProvider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Request


def ask(text: str = "hello", **changes: Any) -> Request:
    return Request(**{"model": "litellm/openai/tiny", "messages": (Message("user", text),), **changes})


def provider_for(server: OpenAIServer, **changes: Any) -> LiteLLMProvider:
    settings = EndpointSettings(base_url=server.base_url, api_key=SecretStr(KEY), **changes)
    return LiteLLMProvider(settings, clock=lambda: NOW_S)


async def fault_of(provider: LiteLLMProvider, request: Request | None = None, timeout_s: float = 30) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.send(request or ask(), timeout_s)
    return caught.value


@pytest_asyncio.fixture
async def provider(openai_server: OpenAIServer) -> AsyncIterator[LiteLLMProvider]:
    made = provider_for(openai_server)
    yield made
    await made.close()


async def test_the_body_carries_every_parameter_and_nothing_of_ours(
    openai_server: OpenAIServer,
) -> None:
    provider = provider_for(openai_server, headers={"X-Team": SecretStr("a")})
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    messages = (Message("system", "Sé breve"), Message("user", "q"), Message("assistant", "a"), Message("user", "ü"))
    request = ask(
        messages=messages,
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        stop=("END",),
        seed=3,
        response_schema=schema,
        extra={"presence_penalty": 0.5},
    )
    await provider.send(request, 30)
    await provider.close()
    assert openai_server.requests == [
        {
            "model": "tiny",
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["END"],
            "seed": 3,
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
            "presence_penalty": 0.5,
        }
    ]
    assert openai_server.authorizations == [f"Bearer {KEY}"]


async def test_usage_is_the_providers_own_count(provider: LiteLLMProvider, openai_server: OpenAIServer) -> None:
    openai_server.behaviour = lambda _: Answer("one two three", cached_input_tokens=4)
    answer = await provider.send(ask("a b c"), 30)
    line = openai_server.invoice[0]
    assert answer.usage == Usage(input_tokens=line.input_tokens, output_tokens=3, cached_input_tokens=4)
    assert (answer.text, answer.provider_request_id) == ("one two three", line.request_id)
    assert not answer.usage_estimated


@pytest.mark.parametrize("reported", [None, {"prompt_tokens": 3, "completion_tokens": 2**64 - 1, "total_tokens": 2}])
async def test_without_a_usable_usage_the_bound_counts(
    provider: LiteLLMProvider, openai_server: OpenAIServer, reported: dict[str, Any] | None
) -> None:
    openai_server.fail_next(Fault(missing_usage=reported is None, reported_usage=reported))
    request = ask(max_output_tokens=9)
    answer = await provider.send(request, 30)
    assert answer.usage == Usage(input_tokens=provider.input_token_bound(request), output_tokens=9)
    assert answer.usage_estimated


@pytest.mark.parametrize(
    ("answer", "finish", "text"),
    [
        (Answer("fine"), "stop", "fine"),
        (Answer("one two three four"), "length", "one two"),
        (Answer("", finish_reason="content_filter"), "refusal", ""),
        (Answer("", refusal="I will not."), "refusal", "I will not."),
        (Answer("x", finish_reason="tool_calls"), "other", "x"),
    ],
)
async def test_finish_reasons(
    provider: LiteLLMProvider, openai_server: OpenAIServer, answer: Answer, finish: str, text: str
) -> None:
    openai_server.behaviour = lambda _: answer
    got = await provider.send(ask(max_output_tokens=2), 30)
    assert (got.finish_reason, got.text) == (finish, text)


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (400, None, FaultClass.INVALID_REQUEST),
        (400, "content_filter", FaultClass.REFUSED),
        (401, None, FaultClass.AUTHENTICATION),
        (403, None, FaultClass.AUTHENTICATION),
        (404, "model_not_found", FaultClass.INVALID_REQUEST),
        (408, None, FaultClass.TIMEOUT),
        (422, None, FaultClass.INVALID_REQUEST),
        (429, None, FaultClass.RATE_LIMITED),
        (429, "insufficient_quota", FaultClass.AUTHENTICATION),
        (500, None, FaultClass.SERVER),
        (503, None, FaultClass.SERVER),
        (504, None, FaultClass.TIMEOUT),
        (529, None, FaultClass.SERVER),
    ],
)
async def test_status_codes_have_the_classes_they_have_elsewhere_and_are_not_repeated(
    provider: LiteLLMProvider, openai_server: OpenAIServer, status: int, code: str | None, fault: FaultClass
) -> None:
    openai_server.fail_next(Fault(status=status, error={"code": code}))
    error = await fault_of(provider)
    assert (error.fault, error.never_sent) == (fault, False)
    assert len(openai_server.bodies) == 1


async def test_retry_after_is_passed_on(provider: LiteLLMProvider, openai_server: OpenAIServer) -> None:
    openai_server.fail_next(Fault(status=429, retry_after="Tue, 14 Nov 2023 22:13:50 GMT"))
    assert (await fault_of(provider)).retry_after_s == 30.0


async def test_an_answer_says_for_how_long_nothing_is_left(
    provider: LiteLLMProvider, openai_server: OpenAIServer
) -> None:
    nothing_left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
    openai_server.fail_next(Fault(headers=nothing_left))
    openai_server.fail_next(Fault(status=503, headers=nothing_left))
    assert (await provider.send(ask(), 30)).pause_s == 360.0
    assert (await fault_of(provider)).retry_after_s == 360.0
    assert (await provider.send(ask(), 30)).pause_s == 0.0


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        provider = LiteLLMProvider(EndpointSettings(base_url=url, api_key=SecretStr(KEY)))
        error = await fault_of(provider)
        await provider.close()
    assert (error.fault, error.never_sent) == (FaultClass.CONNECTION, True)


@pytest.mark.parametrize("cut", ["before_headers", "mid_body"])
async def test_a_cut_answer_has_an_unknown_outcome(
    provider: LiteLLMProvider, openai_server: OpenAIServer, cut: Any
) -> None:
    openai_server.fail_next(Fault(cut=cut))
    error = await fault_of(provider)
    assert (error.fault, error.never_sent) == (FaultClass.CONNECTION, False)
    assert (await provider.send(ask(), 30)).text == "ok"


@pytest.mark.parametrize("body", [b"", b"not json", b"{}", b'{"choices": []}'])
async def test_answers_that_are_no_chat_completion(
    provider: LiteLLMProvider, openai_server: OpenAIServer, body: bytes
) -> None:
    openai_server.fail_next(Fault(raw_body=body))
    error = await fault_of(provider)
    assert error.fault is FaultClass.MALFORMED
    assert error.rule.outcome_unknown


async def test_a_slow_answer_times_out_and_closes_its_connection(
    provider: LiteLLMProvider, openai_server: OpenAIServer
) -> None:
    await provider.send(ask(), 30)  # the first call of a process loads much before it sends
    openai_server.fail_next(Fault(latency_s=2.5))
    error = await fault_of(provider, timeout_s=1.0)
    assert (error.fault, error.never_sent) == (FaultClass.TIMEOUT, False)
    await until(lambda: openai_server.connections_lost == 1)


async def test_cancelling_closes_the_connection(provider: LiteLLMProvider, openai_server: OpenAIServer) -> None:
    openai_server.fail_next(Fault(latency_s=1.0))
    call = asyncio.create_task(provider.send(ask(), 30))
    await until(lambda: openai_server.open_requests == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: openai_server.connections_lost == 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": {"n": 2}},
        {"extra": {"mock_response": "hi"}},
        {"extra": {"num_retries": 5}},
        {"extra": {"fallbacks": ["openai/other"]}},
        {"messages": (Message("user", "\ud800"),)},
        {"model": "litellm/anthropic/claude-x", "seed": 4},
    ],
)
async def test_what_cannot_be_asked_is_refused_before_sending(
    provider: LiteLLMProvider, openai_server: OpenAIServer, changes: dict[str, Any]
) -> None:
    error = await fault_of(provider, ask(**changes))
    assert (error.fault, error.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert openai_server.bodies == []


async def test_an_unknown_vendor_is_an_invalid_request(
    provider: LiteLLMProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    error = await fault_of(provider, ask(model="litellm/nosuch/x"))
    assert error.fault is FaultClass.INVALID_REQUEST
    assert "litellm/<vendor>/<model>" in str(error)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401, error={"message": f"bad key {KEY}, you said {CANARY}", "code": CANARY}),
        Fault(status=500, error={"message": CANARY}),
        Fault(raw_body=f'{{"echo": "{CANARY} {KEY}"}}'.encode()),
        Fault(cut="before_headers"),
        Fault(latency_s=5.0),
    ],
)
async def test_errors_hold_neither_key_nor_messages(
    provider: LiteLLMProvider, openai_server: OpenAIServer, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    await provider.send(ask(), 30)
    openai_server.fail_next(fault)
    error: BaseException | None = await fault_of(provider, ask(CANARY), timeout_s=1.0)
    assert openai_server.received(CANARY)
    while error is not None:
        seen = f"{error} {error!r} {vars(error)}"
        assert CANARY not in seen
        assert KEY not in seen
        error = error.__cause__ or error.__context__
    assert capsys.readouterr() == ("", "")


async def test_closing_one_of_two_leaves_the_other_and_the_last_leaves_nothing_open(
    openai_server: OpenAIServer,
) -> None:
    one, other = provider_for(openai_server), provider_for(openai_server)
    await one.send(ask(), 30)
    await other.check()
    await one.close()
    await one.close()
    assert (await other.send(ask(), 30)).text == "ok"
    await other.close()
    assert (await fault_of(other)).never_sent
    del one, other
    gc.collect()  # an open session or transport would warn here, and warnings are errors


async def test_check_generates_nothing(provider: LiteLLMProvider, openai_server: OpenAIServer) -> None:
    await provider.check()
    assert openai_server.bodies == []


@pytest.mark.parametrize("changes", [{"project": "p"}, {"location": "l"}, {"options": {"a": 1}}])
def test_settings_that_would_have_no_effect(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LiteLLMProvider(EndpointSettings(**changes))
    assert caught.value.field == f"endpoints.litellm.{next(iter(changes))}"


def test_without_the_library_the_mend_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.llm.providers.litellm.provider.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"promptory\[litellm\]"):
        LiteLLMProvider(None)
