"""A provider that does what a test tells it and keeps its own bill, and a clock that only sleeping moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.errors import FaultClass, ProviderError
from domain.pricing import Usage
from resources.llm.types import FinishReason, ProviderAnswer, Request

START = 1_795_305_600.0  # 2026-11-22 00:00:00 UTC
QUIET_TURNS = 50


class VirtualTime:
    """Epoch seconds that stand still until everybody sleeps; then they jump to the earliest waking."""

    def __init__(self, now: float = START) -> None:
        self.now = now
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._stirred = False
        self._driver: asyncio.Task[None] | None = None
        self.busy: list[Callable[[], bool]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._stirred = True
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), waking))
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        await waking

    async def _drive(self) -> None:
        while self._sleepers:
            await self._let_others_go_on()
            self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
            heapq.heapify(self._sleepers)
            if self._sleepers:
                at, _, waking = heapq.heappop(self._sleepers)
                self.now = max(self.now, at)
                if not waking.done():
                    waking.set_result(None)

    async def _let_others_go_on(self) -> None:
        """Until nobody can go on without time passing; answers of a server that are under way count as going on.

        An answer arrives in real time, so quiet turns are counted anew from it: who got it still has to act on it. So
        they are from the latest falling asleep, or it would be woken by turns that passed before.
        """
        quiet = 0
        while quiet < QUIET_TURNS:
            if self._stirred:
                quiet, self._stirred = 0, False
            if any(is_busy() for is_busy in self.busy):
                quiet = 0
                await asyncio.sleep(0.001)
            else:
                quiet += 1
                await asyncio.sleep(0)


@dataclass(frozen=True)
class Reply:
    """One scripted reaction. `takes_s` passes before it; `hangs` never ends; `bills` overrides what is billed.

    `counts_nothing`: the answer came without usage, which the provider had to estimate. `pause_s`: the provider says
    that nothing is left of its rate limit for so long.
    """

    text: str = "ok"
    input_tokens: int = 10
    output_tokens: int = 5
    finish_reason: FinishReason = "stop"
    fault: FaultClass | None = None
    never_sent: bool = False
    retry_after_s: float | None = None
    takes_s: float = 0.0
    hangs: bool = False
    bug: bool = False
    bills: bool | None = None
    counts_nothing: bool = False
    pause_s: float = 0.0


@dataclass
class ScriptedProvider:
    """Answers `replies` in order, then `otherwise` for ever. Bills 100 nano per input and 400 per output token."""

    time: VirtualTime
    replies: deque[Reply] = field(default_factory=deque)
    otherwise: Callable[[Request], Reply] = lambda _request: Reply()
    bound: int = 50
    sent: list[Request] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    billed_nano_usd: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    closed: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def input_token_bound(self, request: Request) -> int:
        return self.bound

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        self.sent.append(request)
        self.sent_at.append(self.time.now)
        self.reached.set()
        reply = self.replies.popleft() if self.replies else self.otherwise(request)
        if not reply.never_sent and (reply.bills if reply.bills is not None else reply.fault is None):
            self.billed_nano_usd += 100 * reply.input_tokens + 400 * reply.output_tokens
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            return await self._react(reply, timeout_s)
        finally:
            self.in_flight -= 1

    async def _react(self, reply: Reply, timeout_s: float) -> ProviderAnswer:
        if reply.hangs:
            await asyncio.get_running_loop().create_future()
        if reply.takes_s:
            await self.time.sleep(min(reply.takes_s, timeout_s))
            if reply.takes_s > timeout_s:
                raise ProviderError("no answer in time", fault=FaultClass.TIMEOUT)
        if reply.bug:
            raise KeyError("choices")
        if reply.fault is not None:
            raise ProviderError(
                f"scripted {reply.fault}",
                fault=reply.fault,
                never_sent=reply.never_sent,
                retry_after_s=reply.retry_after_s,
            )
        usage = Usage(input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)
        counted = not reply.counts_nothing
        return ProviderAnswer(reply.text, usage, reply.finish_reason, "req-1", not counted, reply.pause_s)

    async def check(self) -> None:
        return None

    async def close(self) -> None:
        self.closed = True
