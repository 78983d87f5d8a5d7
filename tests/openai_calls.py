"""Calls of the OpenAI-compatible provider against the loopback server, for its tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from servers.openai_server import OpenAIServer

from domain.errors import ProviderError
from domain.message import Message
from resources.llm.providers.openai import OpenAIProvider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Request

NOW_S = 1_700_000_000.0
CANARY = "canary-7f3a91"
KEY = "test-key"


def ask(text: str = "hello", **changes: Any) -> Request:
    return Request(model="openai/tiny", messages=(Message("user", text),), **changes)


def provider_for(server: OpenAIServer, **changes: Any) -> OpenAIProvider:
    settings = EndpointSettings(base_url=server.base_url, api_key=SecretStr(KEY), **changes)
    return OpenAIProvider(settings, clock=lambda: NOW_S)


async def fault_of(provider: OpenAIProvider, request: Request | None = None, timeout_s: float = 5.0) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.send(request or ask(), timeout_s)
    return caught.value


async def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
