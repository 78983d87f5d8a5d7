"""One process of the chaos tests: makes calls as its plan says and prints how they ended, as JSON.

    python chaos_worker.py '<JSON of Plan>'

Prints `ready` once its client is open, and begins when a line comes in.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from domain.errors import ProviderError, UnansweredError
from resources.llm import CallContext, CoreSettings, LLMClient, Message, Request, open_client


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        settings: of the core.
        calls: how many, `callers` of them at once, each with a pause of `pause_s` seconds after a call.
        same: whether all ask the same.
        speed: how many seconds the core sees pass in one, counted from epoch second `since`.
        for_s: stop after so many real seconds.
    """

    settings: dict[str, Any]
    calls: int
    callers: int
    pause_s: float = 0.0
    same: bool = False
    purpose: str = "call"
    speed: float = 1.0
    since: float = 0.0
    for_s: float = 60.0

    def json(self) -> str:
        return json.dumps(asdict(self))


def scaled(speed: float, since: float) -> tuple[Callable[[], float], Callable[[float], Awaitable[None]]]:
    """A clock that all processes share and that runs `speed` times as fast, and its sleep."""

    def clock() -> float:
        return since + (time.time() - since) * speed

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / speed)

    return clock, sleep


async def work(plan: Plan, llm: LLMClient) -> Counter[str]:
    """Make the calls; how many ended in which way."""
    numbers = iter(range(plan.calls))
    ends: Counter[str] = Counter()
    stop = time.monotonic() + plan.for_s

    async def caller() -> None:
        for number in numbers:
            if time.monotonic() > stop:
                return
            text = "the same for all" if plan.same else f"{number} something else"
            context = CallContext(plan.purpose, allow_fallback=False)
            try:
                answer = await llm.complete(Request("openai/m", (Message("user", text),), 16), context)
                ends["cached" if answer.cached else "ok"] += 1
            except UnansweredError as error:
                ends[error.reason] += 1
            except ProviderError as error:
                ends[error.fault.value] += 1
            await asyncio.sleep(plan.pause_s)

    await asyncio.gather(*(caller() for _ in range(plan.callers)))
    return ends


async def main(plan: Plan) -> None:
    timing: dict[str, Any] = {}
    if plan.speed != 1.0:
        clock, sleep = scaled(plan.speed, plan.since)
        timing = {"clock": clock, "sleep": sleep}
    async with open_client(CoreSettings.parse(plan.settings), **timing) as llm:
        print("ready", flush=True)  # noqa: T201 - the test reads it
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps(await work(plan, llm)), flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(sys.argv[1]))))
