"""Sending requests at a given rate through the core, and what came of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from domain.errors import ProviderError, StateUnavailableError, UnansweredError
from resources.llm.client import LLMClient
from resources.llm.types import CallContext, Completion, Priority, Request

PERCENTILES = (50, 95, 99)
_FALLEN = (ProviderError, UnansweredError, StateUnavailableError)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How much to send.

    Attributes:
        rate: requests begun per second, whether earlier ones have ended or not.
        high_share: share of requests with priority `high`, 0 to 1.
        concurrency: most requests under way at once; beyond it a request begins late.
        fresh: give each request its own draw, so that no cache answers it.
    """

    requests: int
    rate: float
    high_share: float
    concurrency: int
    fresh: bool = False


@dataclass(slots=True)
class LoadReport:
    """What came of it. Latencies are seconds from call to answer, waits included, of answered calls by priority."""

    elapsed_s: float = 0.0
    sent: int = 0
    ok: int = 0
    cached: int = 0
    cost_nano_usd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    late: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies_s: dict[Priority, list[float]] = field(default_factory=lambda: defaultdict(list))

    def latency_percentiles_s(self, priority: Priority) -> dict[int, float]:
        """p50, p95 and p99 by nearest rank; empty without an answer."""
        ordered = sorted(self.latencies_s.get(priority, ()))
        return {percent: ordered[ceil(len(ordered) * percent / 100) - 1] for percent in PERCENTILES if ordered}

    def add(self, completion: Completion, priority: Priority) -> None:
        """Count one completion."""
        self.cost_nano_usd += completion.cost_nano_usd
        if completion.status == "fallback":
            self.fallbacks[completion.reason or "unknown"] += 1
            return
        self.ok += 1
        self.latencies_s[priority].append(completion.latency_s)
        if completion.cached:
            self.cached += 1
        else:
            self.input_tokens += completion.usage.input_tokens
            self.output_tokens += completion.usage.output_tokens


class Load:
    """One stretch of load over `requests`, taken in turn."""

    def __init__(
        self,
        llm: LLMClient,
        requests: Sequence[Request],
        context: CallContext,
        plan: LoadPlan,
        *,
        rng: random.Random,
        on_progress: Callable[[LoadReport], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._llm = llm
        self._requests = requests
        self._context = context
        self._plan = plan
        self._rng = rng
        self._on_progress = on_progress
        self._monotonic = monotonic
        self._sleep = sleep
        self._free = asyncio.Semaphore(plan.concurrency)
        self._draws = rng.randrange(1 << 30)
        self._report = LoadReport()

    async def run(self) -> LoadReport:
        """Send everything and wait for the answers.

        Raises:
            ConfigurationError: no call of this kind can be made: no such provider, no price under the cap, …
            InputError: the requests are malformed.
        """
        started = self._monotonic()
        under_way: list[asyncio.Task[None]] = []
        try:
            for number in range(self._plan.requests):
                await self._until(started + number / self._plan.rate)
                if self._free.locked():
                    self._report.late += 1
                await self._free.acquire()
                under_way.append(asyncio.create_task(self._send(number)))
                _raise_first_error(under_way)
            await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        self._report.elapsed_s = self._monotonic() - started
        return self._report

    async def _until(self, moment: float) -> None:
        seconds = moment - self._monotonic()
        await self._sleep(max(0.0, seconds))

    async def _send(self, number: int) -> None:
        report = self._report
        priority: Priority = "high" if self._rng.random() < self._plan.high_share else "normal"
        request = self._requests[number % len(self._requests)]
        if self._plan.fresh:
            request = replace(request, sample=self._draws + number)
        report.sent += 1
        try:
            report.add(await self._llm.complete(request, replace(self._context, priority=priority)), priority)
        except _FALLEN as error:
            report.failures[error.fault.value if isinstance(error, ProviderError) else type(error).__name__] += 1
        finally:
            self._free.release()
        self._on_progress(report)


def _raise_first_error(under_way: list[asyncio.Task[None]]) -> None:
    """Stop at an error that every further request would meet too, and forget what is done."""
    for task in [task for task in under_way if task.done()]:
        under_way.remove(task)
        task.result()
