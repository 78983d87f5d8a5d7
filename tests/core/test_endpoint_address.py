"""Endpoints that may answer differently share no cached answer; keys that are renewed cost none."""

from __future__ import annotations

from typing import Any

import pytest

from resources.llm.cache_entry import cache_key
from resources.llm.endpoint_address import SAME_ANSWERS, address_of
from resources.llm.endpoints import Endpoints
from resources.llm.providers.huggingface.options import HuggingFaceOptions
from resources.llm.providers.openai_options import OpenAIOptions
from resources.llm.providers.vertex.options import VertexOptions
from resources.llm.settings import EndpointSettings
from resources.llm.types import Message, Request

URL = "https://gateway.example/v1"


def key(name: str = "openai", **settings: Any) -> str:
    endpoints = Endpoints({name: EndpointSettings(**settings)}, None)
    model = f"{name}/m"
    return cache_key(Request("m", (Message("user", "x"),), temperature=0.0), endpoints.address(model))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("huggingface", {"options": {"dtype": "float32"}}, {"options": {"dtype": "bfloat16"}}),
        ("huggingface", {"options": {"device": "cpu"}}, {}),
        ("openai", {"headers": {"X-Deployment": "blue"}}, {"headers": {"X-Deployment": "green"}}),
        ("openai", {"headers": {"X-Deployment": "blue"}}, {"options": {"max_tokens_field": "max_tokens"}}),
        ("own", {"provider": "openai", "base_url": URL}, {"provider": "litellm", "base_url": URL}),
    ],
)
def test_settings_that_can_change_an_answer_change_its_key(
    name: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert key(name, **one) != key(name, **other)
    assert key(name, **one) == key(name, **one)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "Proxy-Authorization",
        "X-Auth",
        "api-key",
        "X-Goog-Api-Key",
        "Ocp-Apim-Subscription-Key",
        "X-Amz-Security-Token",
        "Cookie",
        "X-Client-Secret",
    ],
)
def test_headers_that_only_prove_who_asks_change_nothing(header: str) -> None:
    assert key(headers={header: "old"}) == key(headers={header: "new"}) == key()
    assert key(headers={header: "old", "X-Route": "a"}) == key(headers={"x-route": "a"}) != key()


def test_what_is_no_part_of_an_answer_changes_nothing() -> None:
    others = {"api_key": "k", "timeout_s": 5, "max_connections": 2, "provider": "openai"}
    options = {"tokenizer": "bytes", "batch_requests": 7, "stream": True}
    assert key(base_url=URL, options=options, **others) == key(base_url=URL)


def test_an_endpoint_without_such_settings_keeps_its_address() -> None:
    settings = EndpointSettings(base_url=URL, project="p", location="l")
    assert address_of("openai", settings) == f"{URL}|p|l"
    assert address_of("openai", EndpointSettings()) == "||"


def test_what_headers_say_cannot_be_read_from_an_address() -> None:
    settings = EndpointSettings.model_validate({"headers": {"X-Tenant": "acme-7f3"}})
    assert "acme-7f3" not in address_of("openai", settings)


def test_each_option_of_each_kind_is_judged() -> None:
    known = {name for kind in (OpenAIOptions, HuggingFaceOptions, VertexOptions) for name in kind.model_fields}
    assert known - SAME_ANSWERS == {"max_tokens_field", "device", "dtype"}
    assert known >= SAME_ANSWERS
