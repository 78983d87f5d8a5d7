"""What every provider owes the core, whoever stands behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from servers.embeddings import as_base64
from servers.openai_server import OpenAIServer

from domain.contracts import ChoiceContract
from domain.errors import FaultClass, ProviderError
from domain.prompt import Demonstration, PromptStep
from domain.rendering import render_step
from resources.llm.providers import KNOWN_PROVIDERS, create_provider
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
NEEDS = {"huggingface": "torch", "litellm": "litellm"}


@dataclass(frozen=True)
class Peer:
    """What stands behind a provider: it answers `delivery`, of two tokens at least, to everything.

    Attributes:
        received: how many calls it got; a peer inside this process is not asked.
        answer: what it answers instead.
        writes: whether it writes answers; one that gives vectors does not.
    """

    kind: str
    model: str
    settings: EndpointSettings | None
    received: Callable[[], int]
    unusable: dict[str, Any]
    answer: str = "delivery"
    writes: bool = True


def over_http(kind: str) -> Iterator[Peer]:
    model = {"openai": "openai/tiny", "litellm": "litellm/openai/tiny"}[kind]
    with OpenAIServer(lambda _: "delivery") as server:
        yield Peer(kind, model, EndpointSettings(**server.endpoint), lambda: len(server.bodies), {"extra": {"n": 2}})


def vectors(kind: str) -> Iterator[Peer]:
    with OpenAIServer(embed=lambda _: (0.5, -2.0)) as server:
        settings = EndpointSettings(**server.endpoint)
        unusable = {"messages": render_step(STEP, {"message": "a conversation"})}
        answer = as_base64((0.5, -2.0))
        yield Peer(kind, "embeddings/tiny", settings, lambda: len(server.bodies), unusable, answer, writes=False)


def over_grpc(kind: str) -> Iterator[Peer]:
    from servers.vertex_server import VertexServer

    with VertexServer(lambda _: "delivery") as server:
        settings = EndpointSettings(**server.endpoint)
        yield Peer(kind, "vertex/tiny", settings, lambda: len(server.bodies), {"model": "vertex/not/a-model"})


def within(kind: str, folder: Path) -> Iterator[Peer]:
    model, unusable = "offline/nearest", {"model": "offline/other"}
    if kind == "huggingface":
        from tiny_models import save_parrot

        model, unusable = f"huggingface/{save_parrot(folder)}", {"extra": {"n": 2}}
    yield Peer(kind, model, None, lambda: 0, unusable)


@pytest.fixture(scope="module", params=sorted(KNOWN_PROVIDERS))
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    kind = request.param
    if kind in NEEDS and find_spec(NEEDS[kind]) is None:
        pytest.skip(f"{NEEDS[kind]} is not installed")
    if kind in ("openai", "litellm"):
        yield from over_http(kind)
    elif kind == "embeddings":
        yield from vectors(kind)
    elif kind == "vertex":
        yield from over_grpc(kind)
    else:
        yield from within(kind, tmp_path_factory.mktemp("model"))


def ask(peer: Peer, **changes: Any) -> Request:
    messages = render_step(STEP, {"message": "where is the parcel?"})
    if not peer.writes:
        messages = messages[-1:]
    return Request(**{"model": peer.model, "messages": messages, **changes})


@pytest_asyncio.fixture
async def provider(peer: Peer) -> AsyncIterator[Provider]:
    made = create_provider(peer.kind, peer.settings)
    yield made
    await made.close()


async def test_answers_with_text_usage_and_finish_reason(provider: Provider, peer: Peer) -> None:
    answer = await provider.send(ask(peer), 60)
    assert (answer.text, answer.finish_reason, answer.usage_estimated) == (peer.answer, "stop", False)
    assert (answer.usage.output_tokens >= 1) == peer.writes


async def test_the_bound_covers_what_is_counted(provider: Provider, peer: Peer) -> None:
    request = ask(peer)
    before = provider.input_token_bound(request)
    answer = await provider.send(request, 60)
    assert 0 < answer.usage.input_tokens <= min(before, provider.input_token_bound(request))


async def test_output_tokens_stay_within_the_limit(provider: Provider, peer: Peer) -> None:
    if not peer.writes:
        pytest.skip("a vector has no length to be cut at")
    answer = await provider.send(ask(peer, max_output_tokens=1), 60)
    assert answer.usage.output_tokens == 1
    assert answer.finish_reason == "length"
    assert "delivery".startswith(answer.text)


async def test_the_same_request_gets_the_same_answer(provider: Provider, peer: Peer) -> None:
    first = await provider.send(ask(peer), 60)
    second = await provider.send(ask(peer), 60)
    assert replace(first, provider_request_id=None) == replace(second, provider_request_id=None)


async def test_many_calls_at_once(provider: Provider, peer: Peer) -> None:
    answers = await asyncio.gather(*(provider.send(ask(peer), 60) for _ in range(64)))
    assert {answer.text for answer in answers} == {peer.answer}


async def test_check_generates_nothing(provider: Provider, peer: Peer) -> None:
    before = peer.received()
    await provider.check()
    assert peer.received() == before


async def test_an_unusable_request_is_classified_and_never_sent(provider: Provider, peer: Peer) -> None:
    before = peer.received()
    with pytest.raises(ProviderError) as caught:
        await provider.send(ask(peer, **peer.unusable), 60)
    assert (caught.value.fault, caught.value.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert peer.received() == before


async def test_a_cancelled_call_leaves_the_provider_usable(provider: Provider, peer: Peer) -> None:
    call = asyncio.create_task(provider.send(ask(peer), 60))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await provider.send(ask(peer), 60)).text == peer.answer


async def test_a_timeout_is_an_error_of_its_class(provider: Provider, peer: Peer) -> None:
    instant = pytest.raises(ProviderError) if peer.kind != "offline" else nullcontext()
    with instant as caught:
        await provider.send(ask(peer), 1e-6)
    if caught is not None:
        assert caught.value.fault is FaultClass.TIMEOUT


async def test_closes_twice_even_unused_and_then_answers_no_more(peer: Peer) -> None:
    made = create_provider(peer.kind, peer.settings)
    await made.close()
    await made.close()
    if peer.kind != "offline":  # it holds nothing, so it has nothing to lose
        with pytest.raises(ProviderError) as caught:
            await made.send(ask(peer), 60)
        assert caught.value.never_sent
