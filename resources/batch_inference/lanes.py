"""How rows of a batch take turns at the provider."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from resources.llm.client import LLMClient
from resources.llm.settings import LimitSettings
from resources.llm.types import CallContext, Completion, Request

LARGE_REQUEST_TOKENS = 10_000
FREE_SHARE = 100


@dataclass(frozen=True, slots=True)
class InLane:
    """The core, asked so that no more rows are at the provider at once than `lane` lets in.

    Attributes:
        admitted_first: whether rows are admitted while they wait for the lane. What the limiter lets through then need
            not be sent in that minute, so that the next one may get more than it was let.
    """

    llm: LLMClient
    lane: asyncio.Semaphore
    admitted_first: bool

    async def complete(self, request: Request, context: CallContext) -> Completion:
        """One call. Raises what `LLMClient.complete` raises."""
        if self.admitted_first:
            return await self.llm.complete(request, context, lane=self.lane)
        async with self.lane:
            return await self.llm.complete(request, context)


def may_be_late(limits: LimitSettings, calls: int) -> bool:
    """Whether `calls` that are sent a minute late go under in the limits: they are a hundredth of these at most."""
    requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
    return (requests is None or calls * FREE_SHARE <= requests) and (
        tokens is None or calls * LARGE_REQUEST_TOKENS * FREE_SHARE <= tokens
    )
