"""Calls of the Vertex AI provider against the loopback server, for its tests."""

from __future__ import annotations

from typing import Any

import pytest
from google.auth.credentials import Credentials
from servers.vertex_server import VertexServer

from domain.errors import ProviderError
from domain.message import Message
from resources.llm.providers.vertex import VertexProvider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Request

CANARY = "canary-7f3a91"


def ask(text: str = "hello", **changes: Any) -> Request:
    values: dict[str, Any] = {"model": "vertex/gemini-2.5-flash", "messages": (Message("user", text),), **changes}
    return Request(**values)


def provider_for(server: VertexServer, credentials: Credentials | None = None, **changes: Any) -> VertexProvider:
    return VertexProvider(EndpointSettings(**{**server.endpoint, **changes}), credentials=credentials)


async def fault_of(provider: VertexProvider, request: Request | None = None, timeout_s: float = 30.0) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.send(request or ask(), timeout_s)
    return caught.value
