"""Thousands of calls that fail, time out and are cancelled leave nothing behind.

`PROMPTORY_LEAK_CALLS=200000` runs it at full scale.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from chaos.crowd import shared_settings

from benchmarks.provider import Behaviour, start_provider
from domain.errors import ProviderError, UnansweredError
from resources.llm import CallContext, CoreSettings, LLMClient, Message, Request, open_client

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]
CALLS = int(os.environ.get("PROMPTORY_LEAK_CALLS", "4000"))
ROUNDS = 5
CALLERS = 40
GROWTH_BYTES = 400_000
# The client's two loops, and what each of them waits for.
OWN_TASKS = 4
WEATHER = Behaviour(latency_s=0.002, jitter_s=0.02, error_share=0.05, drop_share=0.03, truncate_share=0.03)


async def _call(llm: LLMClient, rng: random.Random, number: int, ends: Counter[str]) -> None:
    """One call that is left alone, cancelled by its caller, or given too little time."""
    fate = rng.random()
    deadline = rng.uniform(0.001, 0.03) if fate < 0.2 else None
    # A few ask the same, so that there are followers; the rest do not.
    text = f"same {number % 7}" if rng.random() < 0.1 else f"{number} something else"
    context = CallContext(scopes=("day", "task:leak"), task="leak", deadline_s=deadline, allow_fallback=number % 2 == 0)
    call = asyncio.ensure_future(llm.complete(Request("openai/m", (Message("user", text),), 16), context))
    if 0.2 <= fate < 0.4:
        await asyncio.sleep(rng.uniform(0.0, 0.03))
        call.cancel()
    try:
        ends[(await call).status] += 1
    except asyncio.CancelledError:
        ends["cancelled"] += 1
    except (ProviderError, UnansweredError):
        ends["error"] += 1


async def _round(llm: LLMClient, rng: random.Random, calls: int, ends: Counter[str]) -> None:
    numbers = iter(range(calls))

    async def caller() -> None:
        for number in numbers:
            await _call(llm, rng, number, ends)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await llm.flush()


def _sockets() -> int:
    """Sockets this process has open."""
    return sum(1 for each in Path("/proc/self/fd").iterdir() if _target(each).startswith("socket:"))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("state", ["memory", "sqlite"])
async def test_nothing_is_left_behind(tmp_path: Path, state: str) -> None:
    rng, ends = random.Random(5), Counter()
    sockets_before = _sockets()
    with start_provider(WEATHER) as provider:
        changes = {
            "budgets": {"day": "1000", "task:leak": "1000"},
            "cache": {"max_entries": 50},
            "limits": {"openai/m": {"requests_per_minute": 10**6}},
            "breaker": {"consecutive_faults": 50, "open_s": 0.05},
            "retry": {"first_backoff_s": 0.005, "max_backoff_s": 0.01},
            **({"state": "memory"} if state == "memory" else {}),
        }
        settings = CoreSettings.parse(shared_settings(tmp_path, provider.base_url, **changes))
        tasks_before = asyncio.all_tasks()
        tracemalloc.start()
        try:
            async with open_client(settings) as llm:
                held: list[int] = []
                for _ in range(ROUNDS):
                    await _round(llm, rng, CALLS // ROUNDS, ends)
                    assert len(asyncio.all_tasks() - tasks_before) <= OWN_TASKS
                    assert [scope.reserved_nano_usd for scope in await llm.budgets()] == [0, 0]
                    assert _sockets() - sockets_before <= CALLERS + 1
                    gc.collect()
                    held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert held[-1] - held[1] < GROWTH_BYTES, held
        assert asyncio.all_tasks() == tasks_before
        assert _sockets() == sockets_before
        assert provider.settled_counts()["running"] == 0
    assert sum(ends.values()) == CALLS // ROUNDS * ROUNDS
    assert min(ends[how] for how in ("ok", "fallback", "cancelled", "error")) > CALLS // 100
