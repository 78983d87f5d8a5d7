from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import Any

import pytest
from openai_calls import KEY, ask, fault_of, provider_for
from pydantic import SecretStr
from servers.openai_server import Answer, Fault, OpenAIServer

from domain.errors import ConfigurationError, FaultClass, ProviderError
from domain.message import Message
from domain.pricing import Usage
from resources.llm.providers.openai import OpenAIProvider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Request


async def test_the_body_carries_every_parameter(provider: OpenAIProvider, openai_server: OpenAIServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = Request(
        model="openai/org/tiny",
        messages=(
            Message("system", "Sé breve\u2028"),
            Message("user", "q"),
            Message("assistant", "a"),
            Message("user", "ü"),
        ),
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        stop=("END",),
        seed=3,
        response_schema=schema,
        extra={"logit_bias": {"5": -1}},
    )
    await provider.send(request, 5)
    assert openai_server.requests == [
        {
            "model": "org/tiny",
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["END"],
            "seed": 3,
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
            "logit_bias": {"5": -1},
        }
    ]
    assert openai_server.authorizations == [f"Bearer {KEY}"]


async def test_parameters_that_were_not_set_are_not_sent(provider: OpenAIProvider, openai_server: OpenAIServer) -> None:
    await provider.send(ask(), 5)
    assert openai_server.requests[0].keys() == {"model", "messages", "max_tokens", "temperature"}


async def test_newer_endpoints_get_the_newer_length_field(openai_server: OpenAIServer) -> None:
    provider = provider_for(openai_server, options={"max_tokens_field": "max_completion_tokens"})
    await provider.send(ask(max_output_tokens=5), 5)
    await provider.close()
    assert openai_server.requests[0]["max_completion_tokens"] == 5
    assert "max_tokens" not in openai_server.requests[0]


@pytest.mark.parametrize(
    "name", ["n", "max_tokens", "max_completion_tokens", "stream", "model", "service_tier", "seed"]
)
async def test_extra_cannot_outgrow_the_reserve(
    provider: OpenAIProvider, openai_server: OpenAIServer, name: str
) -> None:
    error = await fault_of(provider, ask(extra={name: 2}))
    assert (error.fault, error.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert name in error.problem
    assert openai_server.bodies == []


async def test_text_utf8_cannot_carry_is_refused_before_sending(provider: OpenAIProvider) -> None:
    error = await fault_of(provider, ask("\ud800"))
    assert (error.fault, error.never_sent) == (FaultClass.INVALID_REQUEST, True)


async def test_usage_is_the_providers_own_count(provider: OpenAIProvider, openai_server: OpenAIServer) -> None:
    openai_server.behaviour = lambda _: Answer("one two three", cached_input_tokens=4)
    answer = await provider.send(ask("a b c"), 5)
    line = openai_server.invoice[0]
    assert answer.usage == Usage(input_tokens=line.input_tokens, output_tokens=3, cached_input_tokens=4)
    assert (answer.text, answer.provider_request_id) == ("one two three", line.request_id)
    assert not answer.usage_estimated


@pytest.mark.parametrize(
    "reported",
    [
        None,
        {},
        {"prompt_tokens": 3},
        {"prompt_tokens": -3, "completion_tokens": 1},
        {"prompt_tokens": "3", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 3, "completion_tokens": 2**64 - 1},
        {"prompt_tokens": 2**31, "completion_tokens": 1},
    ],
)
async def test_without_a_usable_usage_the_bound_counts(
    provider: OpenAIProvider, openai_server: OpenAIServer, reported: dict[str, Any] | None
) -> None:
    openai_server.fail_next(Fault(missing_usage=reported is None, reported_usage=reported))
    request = ask(max_output_tokens=9)
    answer = await provider.send(request, 5)
    assert answer.usage == Usage(input_tokens=provider.input_token_bound(request), output_tokens=9)
    assert answer.usage_estimated


async def test_cached_tokens_never_exceed_the_input(provider: OpenAIProvider, openai_server: OpenAIServer) -> None:
    lie = {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99}}
    openai_server.fail_next(Fault(reported_usage=lie))
    assert (await provider.send(ask(), 5)).usage.cached_input_tokens == 3


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
    provider: OpenAIProvider, openai_server: OpenAIServer, answer: Answer, finish: str, text: str
) -> None:
    openai_server.behaviour = lambda _: answer
    got = await provider.send(ask(max_output_tokens=2), 5)
    assert (got.finish_reason, got.text) == (finish, text)


async def test_half_a_surrogate_pair_becomes_storable_text(
    provider: OpenAIProvider, openai_server: OpenAIServer
) -> None:
    openai_server.behaviour = lambda _: "a\ud800b\U0001f600"
    assert (await provider.send(ask(), 5)).text == "a\ufffdb\U0001f600"


async def test_the_provider_shows_no_key(provider: OpenAIProvider) -> None:
    assert KEY not in repr(provider)


@pytest.mark.parametrize("key", ["two\nlines", "café"])
def test_a_key_http_cannot_carry_is_refused_without_quoting_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenAIProvider(EndpointSettings(api_key=SecretStr(key)))
    assert key not in str(caught.value)
    assert caught.value.field == "endpoints.api_key"


@pytest.mark.parametrize("options", [{"max_token_field": "max_tokens"}, {"max_tokens_field": "tokens"}])
def test_unknown_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="max_tokens_field"):
        OpenAIProvider(EndpointSettings(options=options))


async def test_check_asks_for_the_models_and_generates_nothing(
    provider: OpenAIProvider, openai_server: OpenAIServer
) -> None:
    await provider.check()
    assert openai_server.bodies == []
    openai_server.api_key = "another"
    with pytest.raises(ProviderError) as caught:
        await provider.check()
    assert caught.value.fault is FaultClass.AUTHENTICATION


async def test_256_calls_at_once_share_one_pool(provider: OpenAIProvider, openai_server: OpenAIServer) -> None:
    openai_server.faults = lambda _index, _body: Fault(latency_s=2.0)  # in which all of them arrive
    started = time.monotonic()
    answers = await asyncio.gather(*(provider.send(ask(str(number)), 30) for number in range(256)))
    assert [answer.text for answer in answers] == ["ok"] * 256
    assert openai_server.peak_open_requests > 200
    assert time.monotonic() - started < 60  # one after another they would take ten minutes
    assert sum(line.input_tokens for line in openai_server.invoice) == sum(a.usage.input_tokens for a in answers)


async def test_closing_twice_leaves_nothing_open_and_ends_the_provider(openai_server: OpenAIServer) -> None:
    provider = provider_for(openai_server)
    await provider.send(ask(), 5)
    await provider.close()
    await provider.close()
    error = await fault_of(provider)
    assert error.never_sent
    del provider
    gc.collect()  # an open session or transport would warn here, and warnings are errors


async def test_the_raw_body_is_utf8_json(provider: OpenAIProvider, openai_server: OpenAIServer) -> None:
    await provider.send(ask("naïve 東京"), 5)
    assert "naïve 東京".encode() in openai_server.bodies[0]
    assert json.loads(openai_server.bodies[0]) == openai_server.requests[0]
