"""The provider under test, closed again after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from openai_calls import provider_for
from servers.openai_server import OpenAIServer

from resources.llm.providers.openai import OpenAIProvider


@pytest_asyncio.fixture
async def provider(openai_server: OpenAIServer) -> AsyncIterator[OpenAIProvider]:
    made = provider_for(openai_server)
    yield made
    await made.close()
