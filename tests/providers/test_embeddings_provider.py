"""`embeddings/…` against the loopback server: one text in, one vector out, and the money of its input."""

from __future__ import annotations

import asyncio
import json
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from servers.billing import Tariff
from servers.embeddings import as_base64
from servers.openai_server import Fault, OpenAIServer

from domain.errors import ConfigurationError, FaultClass, ProviderError, UnansweredError
from domain.evaluators.vectors import read_vector
from domain.message import Message
from resources.llm import CallContext, CoreSettings, open_client
from resources.llm.prices import PriceBook
from resources.llm.providers import create_provider
from resources.llm.providers.embeddings import EmbeddingsProvider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Request

TEXT = "wo ist das Paket? 包裹"
PRICE = {"input_per_million": "0.02", "output_per_million": "0"}


def ask(text: str = TEXT, **changes: Any) -> Request:
    values: dict[str, Any] = {"model": "embeddings/tiny", "messages": (Message("user", text),), "max_output_tokens": 1}
    return Request(**{**values, **changes})


@pytest_asyncio.fixture
async def provider(openai_server: OpenAIServer) -> AsyncIterator[EmbeddingsProvider]:
    made = EmbeddingsProvider(EndpointSettings(**openai_server.endpoint))
    yield made
    await made.close()


async def test_one_text_goes_out_and_its_vector_comes_back(
    provider: EmbeddingsProvider, openai_server: OpenAIServer
) -> None:
    answer = await provider.send(ask(extra={"dimensions": 7}), 5)
    assert openai_server.requests == [
        {"model": "tiny", "input": TEXT, "encoding_format": "base64", "dimensions": 7},
    ]
    assert read_vector(answer.text) == pytest.approx(openai_server.embed(TEXT)[:7], rel=1e-6)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (openai_server.invoice[0].input_tokens, 0)
    assert openai_server.invoice[0].input_tokens > 0


async def test_an_endpoint_that_knows_no_base64_gives_the_same_text(
    provider: EmbeddingsProvider, openai_server: OpenAIServer
) -> None:
    vector = [0.25, -3.5, 1e-40]
    body = {"data": [{"embedding": vector}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    openai_server.fail_next(Fault(raw_body=json.dumps(body).encode()))
    assert (await provider.send(ask(), 5)).text == as_base64(vector)


@pytest.mark.parametrize(
    "embedding",
    [
        "not base64!",
        b64encode(b"12345").decode(),
        b64encode(struct.pack("<2f", 1.0, float("nan"))).decode(),
        "",
        [],
        [1.0, None],
        [1e39],
        {"a": 1},
        None,
    ],
)
async def test_what_is_no_vector_is_malformed(
    provider: EmbeddingsProvider, openai_server: OpenAIServer, embedding: Any
) -> None:
    openai_server.fail_next(Fault(raw_body=json.dumps({"data": [{"embedding": embedding}]}).encode()))
    with pytest.raises(ProviderError, match="no embedding") as caught:
        await provider.send(ask(), 5)
    assert caught.value.fault is FaultClass.MALFORMED


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data": []}', b"oops", b'{"data": [{}, {}]}'])
async def test_what_is_no_answer_is_malformed(
    provider: EmbeddingsProvider, openai_server: OpenAIServer, body: bytes
) -> None:
    openai_server.fail_next(Fault(raw_body=body))
    with pytest.raises(ProviderError, match="no embedding"):
        await provider.send(ask(), 5)


@pytest.mark.parametrize(
    "usage",
    [None, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"total_tokens": 4}, {"prompt_tokens": 2**64 - 1}],
)
async def test_without_a_count_the_bound_stands_in(
    provider: EmbeddingsProvider, openai_server: OpenAIServer, usage: dict[str, Any] | None
) -> None:
    openai_server.fail_next(Fault(missing_usage=usage is None, reported_usage=usage))
    answer = await provider.send(ask(), 5)
    assert (answer.usage_estimated, answer.usage.input_tokens) == (True, provider.input_token_bound(ask()))


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message("system", "Be brief."), Message("user", TEXT))},
        {"messages": (Message("assistant", TEXT),)},
        {"response_schema": {"type": "object"}},
        {"extra": {"input": "another"}},
        {"extra": {"encoding_format": "float"}},
        {"messages": (Message("user", "half a pair \ud800"),)},
    ],
)
async def test_what_only_a_model_that_writes_could_answer_is_never_sent(
    provider: EmbeddingsProvider, openai_server: OpenAIServer, changes: dict[str, Any]
) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.send(ask(**changes), 5)
    assert (caught.value.fault, caught.value.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert openai_server.bodies == []


async def test_a_text_that_is_too_long_is_refused_by_the_endpoint_and_free(
    provider: EmbeddingsProvider, openai_server: OpenAIServer
) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.send(ask("x" * 9_000), 5)
    assert caught.value.fault is FaultClass.INVALID_REQUEST
    assert openai_server.invoice == []


def test_options_of_chat_are_refused_and_an_endpoint_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="stream"):
        create_provider("embeddings", EndpointSettings(options={"stream": True}))
    with pytest.raises(ConfigurationError) as caught:
        create_provider("embeddings", None)
    assert caught.value.field == "endpoints.embeddings"


def test_known_prices_have_no_output_and_hold_at_endpoints_of_another_name() -> None:
    book = PriceBook(kinds={"team_b": "embeddings"})
    for model, price in (("text-embedding-3-small", "0.02"), ("text-embedding-3-large", "0.13")):
        for endpoint in ("embeddings", "team_b"):
            known = book.price_of(f"{endpoint}/{model}")
            assert known is not None
            assert (known.input_per_million, known.output_per_million) == (Decimal(price), 0)
            assert known.as_of
    assert book.price_of("embeddings/gpt-4o-mini") is None, "that one writes"
    assert book.price_of("openai/text-embedding-3-small") is None, "that one writes nothing"


def test_no_fallback_to_or_from_vectors() -> None:
    for models in ({"embeddings/a": ["openai/b"]}, {"openai/b": ["embeddings/a"]}):
        values = {"endpoints": {"openai": {"api_key": "k"}}, "fallback": {"models": models}}
        with pytest.raises(ConfigurationError, match="cannot be compared") as caught:
            asyncio.run(_open(CoreSettings.parse(values)))
        assert (caught.value.field or "").startswith("fallback.models.")


async def _open(settings: CoreSettings) -> None:
    async with open_client(settings):
        pass


async def test_the_core_reserves_bills_caches_and_caps_a_vector(tmp_path: Path) -> None:
    with OpenAIServer(tariffs={"tiny": Tariff("20", "0")}) as server:
        price = {**PRICE, "input_per_million": "20"}
        settings = CoreSettings.parse(
            {
                "state": f"sqlite:///{tmp_path / 'state.db'}",
                "ledger": f"sqlite:///{tmp_path / 'ledger.db'}",
                "endpoints": {"embeddings": server.endpoint},
                "prices": {"embeddings/tiny": price},
                "budgets": {"day": "0.0079"},
            }
        )
        async with open_client(settings) as llm:
            context = CallContext(scopes=("day",), allow_fallback=False)
            first = await llm.complete(ask(), context)
            again = await llm.complete(ask(), context)
            assert first.cost_nano_usd == server.invoice_nano_usd() == server.invoice[0].input_tokens * 20_000
            assert (again.text, again.cached, again.cost_nano_usd) == (first.text, True, 0)
            calls = (llm.complete(ask(f"{number} " + "word " * 20), context) for number in range(20))
            made = await asyncio.gather(*calls, return_exceptions=True)
            refused = [one for one in made if isinstance(one, UnansweredError)]
            assert {one.reason for one in refused} == {"budget_exhausted"}
            assert 0 < len(refused) < 20
            (day,) = await llm.budgets()
            assert day.settled_nano_usd == server.invoice_nano_usd() <= 7_900_000
