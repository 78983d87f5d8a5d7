"""One process of the chaos tests: makes calls as its plan says and prints how they ended, as JSON.

    python chaos_worker.py '<JSON of Plan>'

Prints `ready` once its client is open, begins when a line comes in, and stops at the next line or the end of its calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from domain.errors import ProviderError, UnansweredError
from resources.llm import CallContext, CoreSettings, LLMClient, Message, Request, open_client


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        settings: of the core.
        callers: how many call at once, by task. Each pauses for `pause_s` seconds after a call.
        calls: how many they make together at most.
        models: each is asked by all callers, at the same time.
        same: whether all ask the same.
        speed: how many seconds the core sees pass in one, counted from epoch second `since`.
    """

    settings: dict[str, Any]
    callers: dict[str, int]
    calls: int = 1_000_000_000
    pause_s: float = 0.0
    models: tuple[str, ...] = ("openai/m",)
    max_output_tokens: int = 16
    same: bool = False
    purpose: str = "call"
    speed: float = 1.0
    since: float = 0.0

    def json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Told:
    """What one process tells: how many calls ended in which way, and how its last one did; the breakers it sees."""

    ends: dict[str, int] = field(default_factory=dict)
    last: str = ""
    breakers: dict[str, str] = field(default_factory=dict)

    def note(self, end: str) -> None:
        self.ends[end] = self.ends.get(end, 0) + 1
        self.last = end


def scaled(speed: float, since: float) -> tuple[Callable[[], float], Callable[[float], Awaitable[None]]]:
    """A clock that all processes share and that runs `speed` times as fast, and its sleep."""

    def clock() -> float:
        return since + (time.time() - since) * speed

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / speed)

    return clock, sleep


async def _call(plan: Plan, llm: LLMClient, task: str, model: str, number: int) -> str:
    """Make one call; how it ended."""
    name = "the same for all" if plan.same else f"{task}.{socket.gethostname()}-{os.getpid()}.{number} something else"
    context = CallContext(plan.purpose, task=task, row_id=name.split()[0], allow_fallback=False)
    request = Request(model, (Message("user", name),), plan.max_output_tokens)
    try:
        answer = await llm.complete(request, context)
    except UnansweredError as error:
        return error.reason
    except ProviderError as error:
        return error.fault.value
    return "cached" if answer.cached else "ok"


def start_work(plan: Plan, llm: LLMClient, told: Told) -> list[asyncio.Task[None]]:
    """The callers, at work."""
    numbers = iter(range(plan.calls))

    async def caller(task: str, model: str) -> None:
        for number in numbers:
            told.note(await _call(plan, llm, task, model, number))
            await asyncio.sleep(plan.pause_s)

    return [
        asyncio.create_task(caller(task, model))
        for task, model in itertools.product(plan.callers, plan.models)
        for _ in range(plan.callers[task])
    ]


async def wait_for(callers: list[asyncio.Task[None]]) -> None:
    """Wait until all have ended, or the next line comes in; calls under way then are given up."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(sys.stdin)
        for caller in callers:
            caller.cancel()

    loop.add_reader(sys.stdin, stop)
    for ended in asyncio.as_completed(callers):
        with contextlib.suppress(asyncio.CancelledError):
            await ended


async def main(plan: Plan) -> None:
    timing: dict[str, Any] = {}
    if plan.speed != 1.0:
        clock, sleep = scaled(plan.speed, plan.since)
        timing = {"clock": clock, "sleep": sleep}
    told = Told()
    async with open_client(CoreSettings.parse(plan.settings), **timing) as llm:
        print("ready", flush=True)  # noqa: T201 - the test reads it
        await asyncio.to_thread(sys.stdin.readline)
        await wait_for(start_work(plan, llm, told))
        told.breakers = {model.model: model.breaker for model in (await llm.health()).models}
    print(json.dumps(asdict(told)), flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(sys.argv[1]))))
