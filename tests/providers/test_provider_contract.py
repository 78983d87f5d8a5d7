"""What every provider owes the core, whoever stands behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from servers.openai_server import OpenAIServer

from domain.contracts import ChoiceContract
from domain.errors import FaultClass, ProviderError
from domain.prompt import Demonstration, PromptStep
from domain.rendering import render_step
from resources.llm.providers import create_provider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Provider, Request

STEP = PromptStep(
    system_prompt="Route the message.",
    output_prompt="Message: {{ message }}",
    demonstrations=(
        Demonstration(inputs={"message": "the parcel is late"}, output="delivery"),
        Demonstration(inputs={"message": "charged two times"}, output="billing"),
    ),
    output=ChoiceContract(choices={"delivery": "parcels", "billing": "money"}),
)
MODELS = {"openai": "openai/tiny", "offline": "offline/nearest"}


def ask(model: str, **changes: Any) -> Request:
    return Request(model=model, messages=render_step(STEP, {"message": "where is the parcel?"}), **changes)


@pytest.fixture(params=sorted(MODELS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(kind: str, openai_server: OpenAIServer) -> Callable[[], Provider]:
    openai_server.behaviour = lambda _: "delivery"
    settings = EndpointSettings(**openai_server.endpoint) if kind == "openai" else None
    return lambda: create_provider(kind, settings)


@pytest_asyncio.fixture
async def provider(make: Callable[[], Provider]) -> AsyncIterator[Provider]:
    made = make()
    yield made
    await made.close()


async def test_answers_with_text_usage_and_finish_reason(provider: Provider, kind: str) -> None:
    answer = await provider.send(ask(MODELS[kind]), 5)
    assert (answer.text, answer.finish_reason, answer.usage_estimated) == ("delivery", "stop", False)
    assert answer.usage.output_tokens >= 1


async def test_the_bound_covers_what_is_counted(provider: Provider, kind: str) -> None:
    request = ask(MODELS[kind])
    answer = await provider.send(request, 5)
    assert 0 < answer.usage.input_tokens <= provider.input_token_bound(request)


async def test_output_tokens_stay_within_the_limit(provider: Provider, kind: str) -> None:
    answer = await provider.send(ask(MODELS[kind], max_output_tokens=1), 5)
    assert answer.usage.output_tokens == 1
    assert answer.finish_reason == "length"
    assert "delivery".startswith(answer.text)


async def test_the_same_request_gets_the_same_answer(provider: Provider, kind: str) -> None:
    first = await provider.send(ask(MODELS[kind]), 5)
    second = await provider.send(ask(MODELS[kind]), 5)
    assert replace(first, provider_request_id=None) == replace(second, provider_request_id=None)


async def test_many_calls_at_once(provider: Provider, kind: str) -> None:
    answers = await asyncio.gather(*(provider.send(ask(MODELS[kind]), 30) for _ in range(64)))
    assert {answer.text for answer in answers} == {"delivery"}


async def test_check_generates_nothing(provider: Provider, openai_server: OpenAIServer) -> None:
    await provider.check()
    assert openai_server.bodies == []


async def test_an_unusable_request_is_classified_and_never_sent(provider: Provider, kind: str) -> None:
    request = ask(MODELS[kind]) if kind == "openai" else ask("offline/other")
    if kind == "openai":
        request = replace(request, extra={"n": 2})
    with pytest.raises(ProviderError) as caught:
        await provider.send(request, 5)
    assert (caught.value.fault, caught.value.never_sent) == (FaultClass.INVALID_REQUEST, True)


async def test_closes_twice_even_unused(make: Callable[[], Provider]) -> None:
    made = make()
    await made.close()
    await made.close()
    with pytest.raises(ProviderError):
        await made.send(replace(ask("offline/other"), extra={}), 5)
