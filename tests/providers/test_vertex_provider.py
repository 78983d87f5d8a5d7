from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError, TransportError
from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr
from servers.billing import Tariff
from servers.vertex_server import VertexFault, VertexServer
from vertex_calls import CANARY, ask, fault_of, provider_for

from domain.errors import ConfigurationError, FaultClass, ProviderError
from domain.message import Message
from domain.pricing import ModelPrice, Usage, cost_nano_usd
from resources.llm.providers.vertex import VertexProvider
from resources.llm.providers.vertex.names import target_of
from resources.llm.settings import EndpointSettings


class FakeCredentials(Credentials):
    """Hands out numbered tokens, or fails, as a token endpoint would."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()
        self.failure = failure
        self.renewed = 0

    def refresh(self, request: Any) -> None:
        if self.failure:
            raise self.failure
        self.renewed += 1
        self.token = f"token-{self.renewed}"


@pytest.fixture
def server() -> Iterator[VertexServer]:
    with VertexServer() as started:
        yield started


@pytest_asyncio.fixture
async def provider(server: VertexServer) -> AsyncIterator[VertexProvider]:
    made = provider_for(server)
    yield made
    await made.close()


async def test_the_call_carries_every_parameter(provider: VertexProvider, server: VertexServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    messages = (Message("system", "Sé breve"), Message("user", "q"), Message("assistant", "a"), Message("user", "ü"))
    request = ask(
        messages=messages,
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.25,
        stop=("END",),
        seed=3,
        response_schema=schema,
        extra={"top_k": 4, "labels": {"team": "a"}, "thinking_config": {"thinking_budget": 0}},
    )
    await provider.send(request, 30)
    sent = MessageToDict(type(server.requests[0]).pb(server.requests[0]))
    assert sent == {
        "model": "projects/acme/locations/europe-west4/publishers/google/models/gemini-2.5-flash",
        "systemInstruction": {"parts": [{"text": "Sé breve"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "q"}]},
            {"role": "model", "parts": [{"text": "a"}]},
            {"role": "user", "parts": [{"text": "ü"}]},
        ],
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.25,
            "topK": 4.0,
            "maxOutputTokens": 7,
            "stopSequences": ["END"],
            "seed": 3,
            "responseMimeType": "application/json",
            "responseJsonSchema": schema,
            "thinkingConfig": {"thinkingBudget": 0},
        },
        "labels": {"team": "a"},
    }


async def test_parameters_that_were_not_set_are_not_sent(provider: VertexProvider, server: VertexServer) -> None:
    await provider.send(ask(), 30)
    config = MessageToDict(type(server.requests[0]).pb(server.requests[0]))["generationConfig"]
    assert config == {"temperature": 0.0, "maxOutputTokens": 512}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("vertex/gemini-x", "publishers/google/models/gemini-x"),
        ("vertex/publishers/other/models/m", "publishers/other/models/m"),
        ("vertex/endpoints/123", "endpoints/123"),
    ],
)
async def test_names_of_models(provider: VertexProvider, server: VertexServer, model: str, path: str) -> None:
    await provider.send(ask(model=model), 30)
    assert server.requests[0].model == f"projects/acme/locations/europe-west4/{path}"
    assert server.metadata[0]["x-goog-request-params"] == f"model=projects/acme/locations/europe-west4/{path}"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "vertex/meta/llama"},
        {"model": "vertex/publishers//models/m"},
        {"extra": {"candidate_count": 2}},
        {"extra": {"tools": [{"google_search": {}}]}},
        {"extra": {"top_k": "many"}},
        {"extra": {"labels": 5}},
        {"messages": (Message("user", "\ud800"),)},
        {"max_output_tokens": 2**40},
    ],
)
async def test_what_cannot_be_said_is_refused_before_sending(
    provider: VertexProvider, server: VertexServer, changes: dict[str, Any]
) -> None:
    error = await fault_of(provider, ask(**changes))
    assert (error.fault, error.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert server.bodies == []


async def test_usage_counts_thoughts_as_output(provider: VertexProvider, server: VertexServer) -> None:
    counted = {
        "prompt_token_count": 9,
        "candidates_token_count": 2,
        "thoughts_token_count": 5,
        "cached_content_token_count": 4,
    }
    parts = [{"text": "pondering", "thought": True}, {"text": "one "}, {"text": "two"}]
    response = {
        "candidates": [{"content": {"parts": parts}, "finish_reason": "STOP"}],
        "usage_metadata": counted,
        "response_id": "r1",
    }
    server.fail_next(VertexFault(response=response))
    answer = await provider.send(ask(), 30)
    assert answer.usage == Usage(input_tokens=9, output_tokens=7, cached_input_tokens=4)
    assert (answer.text, answer.provider_request_id, answer.usage_estimated) == ("one two", "r1", False)


async def test_the_bill_is_what_the_server_invoices(server: VertexServer) -> None:
    server.behaviour = lambda _: "three words here"
    server.tariffs = {"gemini-2.5-flash": Tariff("0.30", "2.50")}
    price = ModelPrice.model_validate({"input_per_million": "0.30", "output_per_million": "2.50"})
    provider = provider_for(server)
    answers = [await provider.send(ask("word " * n), 30) for n in range(3)]
    await provider.close()
    assert sum(cost_nano_usd(price, a.usage) for a in answers) == sum(line.nano_usd for line in server.invoice) > 0


@pytest.mark.parametrize(
    "counted",
    [
        None,
        {"candidates_token_count": 3},
        {"prompt_token_count": -3},
        {"prompt_token_count": 3, "candidates_token_count": 2**31 - 1, "thoughts_token_count": 1},
    ],
)
async def test_without_a_usable_usage_the_bound_counts(
    provider: VertexProvider, server: VertexServer, counted: dict[str, int] | None
) -> None:
    server.fail_next(VertexFault(response={"candidates": [{"finish_reason": "STOP"}], "usage_metadata": counted}))
    request = ask(max_output_tokens=9)
    answer = await provider.send(request, 30)
    assert answer.usage == Usage(input_tokens=provider.input_token_bound(request), output_tokens=9)
    assert answer.usage_estimated


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "refusal"),
        ("RECITATION", "refusal"),
        ("BLOCKLIST", "refusal"),
        ("PROHIBITED_CONTENT", "refusal"),
        ("SPII", "refusal"),
        ("MODEL_ARMOR", "refusal"),
        ("MALFORMED_FUNCTION_CALL", "other"),
        (97, "other"),
    ],
)
async def test_finish_reasons(provider: VertexProvider, server: VertexServer, reason: str | int, finish: str) -> None:
    server.behaviour = lambda _: {"finish_reason": reason}
    assert (await provider.send(ask(), 30)).finish_reason == finish


async def test_a_blocked_prompt_is_a_refusal_that_is_billed(provider: VertexProvider, server: VertexServer) -> None:
    blocked = {"prompt_feedback": {"block_reason": "SAFETY"}, "usage_metadata": {"prompt_token_count": 8}}
    server.fail_next(VertexFault(response=blocked))
    answer = await provider.send(ask(), 30)
    assert (answer.text, answer.finish_reason, answer.usage) == ("", "refusal", Usage(input_tokens=8))


async def test_an_answer_without_candidates_is_malformed(provider: VertexProvider, server: VertexServer) -> None:
    server.fail_next(VertexFault(response={}))
    assert (await fault_of(provider)).fault is FaultClass.MALFORMED


async def test_256_calls_at_once(provider: VertexProvider, server: VertexServer) -> None:
    answers = await asyncio.gather(*(provider.send(ask(str(number)), 30) for number in range(256)))
    assert [answer.text for answer in answers] == ["ok"] * 256
    assert sum(line.input_tokens for line in server.invoice) == sum(a.usage.input_tokens for a in answers)


async def test_check_asks_for_locations_and_generates_nothing(provider: VertexProvider, server: VertexServer) -> None:
    await provider.check()
    assert (server.checks, server.bodies) == (["projects/acme"], [])


async def test_tokens_are_sent_and_renewed_once_for_all(server: VertexServer) -> None:
    credentials = FakeCredentials()
    provider = provider_for(server, credentials)
    await asyncio.gather(*(provider.send(ask(), 30) for _ in range(8)))
    credentials.token = None
    await provider.send(ask(), 30)
    await provider.close()
    assert [sent["authorization"] for sent in server.metadata] == ["Bearer token-1"] * 8 + ["Bearer token-2"]


@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        (RefreshError(f"invalid_grant {CANARY}"), FaultClass.AUTHENTICATION),
        (TransportError(CANARY), FaultClass.CONNECTION),
    ],
)
async def test_without_a_token_nothing_is_sent(server: VertexServer, failure: Exception, fault: FaultClass) -> None:
    provider = provider_for(server, FakeCredentials(failure))
    error = await fault_of(provider)
    await provider.close()
    assert (error.fault, error.never_sent, server.bodies) == (fault, True, [])
    assert CANARY not in f"{error} {error.__cause__} {error.__context__}"


async def test_plain_http_carries_no_credentials(provider: VertexProvider, server: VertexServer) -> None:
    await provider.send(ask(), 30)
    assert "authorization" not in server.metadata[0]


async def test_without_default_credentials_the_mend_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    provider = VertexProvider(EndpointSettings(location="europe-west4", project="acme"))
    error = await fault_of(provider)
    await provider.close()
    assert (error.fault, error.never_sent) == (FaultClass.AUTHENTICATION, True)
    assert "gcloud auth" in str(error)


async def test_without_a_project_nothing_is_sent(server: VertexServer) -> None:
    provider = provider_for(server, project=None)
    with pytest.raises(ConfigurationError) as caught:
        await provider.send(ask(), 30)
    assert caught.value.field == "endpoints.vertex.project"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (None, "location"),
        (EndpointSettings(project="p"), "location"),
        (EndpointSettings(location="l", api_key=SecretStr("k")), "api_key"),
        (EndpointSettings(location="l", options={"a": 1}), "options.a"),
        (EndpointSettings(location="l", base_url="https://host/v1"), "base_url"),
    ],
)
def test_settings_that_cannot_work(settings: EndpointSettings | None, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        VertexProvider(settings)
    assert caught.value.field == f"endpoints.vertex.{field}"


@pytest.mark.parametrize(
    ("changes", "address", "encrypted"),
    [
        ({"location": "europe-west4"}, "europe-west4-aiplatform.googleapis.com:443", True),
        ({"location": "global"}, "aiplatform.googleapis.com:443", True),
        ({"location": "l", "base_url": "https://proxy.example"}, "proxy.example:443", True),
        ({"location": "l", "base_url": "http://127.0.0.1:8080"}, "127.0.0.1:8080", False),
    ],
)
def test_hosts(changes: dict[str, Any], address: str, encrypted: bool) -> None:
    target = target_of(EndpointSettings(**changes))
    assert (target.address, target.encrypted) == (address, encrypted)


async def test_a_closed_provider_answers_no_more(server: VertexServer) -> None:
    provider = provider_for(server)
    await provider.send(ask(), 30)
    await provider.close()
    await provider.close()
    assert (await fault_of(provider)).never_sent
    with pytest.raises(ProviderError, match="closed"):
        await provider.check()
