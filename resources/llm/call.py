"""One call on its way through the layers, the time it lives by, and the interface every layer wraps."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from resources.llm.types import CallContext, Completion, Request

BATCH_PURPOSE = "batch"

Lane = AbstractAsyncContextManager[object]
"""Of a caller that wants only so many of its calls at the provider at once, e.g. a semaphore."""

OPEN_LANE: Lane = nullcontext()


@dataclass(frozen=True, slots=True)
class Timing:
    """Injected time and chance.

    Attributes:
        clock: epoch seconds, shared with other processes through the state store.
        monotonic: seconds that never jump; deadlines and latencies use them.
        sleep: waits between attempts and in queues.
        rng: jitter.
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rng: random.Random = field(default_factory=random.Random)


@dataclass(slots=True)
class Call:
    """What the layers know of a call beside its request.

    Attributes:
        started_at: epoch seconds.
        started: monotonic seconds.
        deadline: monotonic seconds.
        attempts: attempts admitted so far.
        cost_nano_usd: charged so far, ambiguous attempts included.
        lane: entered by each attempt once it is admitted, for as long as it is at the provider.
        lane_wait_s: how long attempts waited to enter it.
    """

    context: CallContext
    call_id: str
    requested_model: str
    started_at: float
    started: float
    deadline: float
    attempts: int = 0
    cost_nano_usd: int = 0
    lane: Lane = OPEN_LANE
    lane_wait_s: float = 0.0

    def latency_s(self, now: float) -> float:
        """Seconds from its start to `now`; what its caller's own other calls kept it waiting is left out."""
        return now - self.started - self.lane_wait_s


class Layer(Protocol):
    """One concern of the core, wrapped around the next."""

    async def complete(self, request: Request, call: Call) -> Completion:
        """The answer to `request`.

        Raises:
            ProviderError: an attempt failed for good.
            UnansweredError: no attempt was let through or the time is over; `reason` says why.
            StateUnavailableError: the guards cannot be asked.
        """
        ...
