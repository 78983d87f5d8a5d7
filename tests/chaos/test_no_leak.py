"""Thousands of calls that fail, time out and are cancelled leave nothing behind.

`PROMPTORY_LEAK_CALLS=200000` runs it at full scale.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos.crowd import PATIENCE_S, shared_settings

from benchmarks.meter import Behaviour
from benchmarks.provider import start_provider
from benchmarks.stores import STATES, open_store
from domain.errors import ProviderError, UnansweredError
from resources.llm import CallContext, CoreSettings, LLMClient, Message, Request, open_client

CALLS = int(os.environ.get("PROMPTORY_LEAK_CALLS", "4000"))
ROUNDS = 5
CALLERS = 40
# Counting blocks costs nothing, unlike tracing them. What is kept of one call in thirty shows at full scale, two blocks
# of every call at the scale of CI.
GROWTH_BLOCKS = 4_000
GROWTH_BYTES = 24 * 2**20
WEATHER = Behaviour(
    latency_s=0.002, jitter_s=0.02, busy_share=0.0005, retry_after_s=0.05, error_share=0.05, drop_share=0.03,
    truncate_share=0.03, silent_share=0.02,
)  # fmt: skip
GUARDS = {
    "budgets": {"org": "1000", "task:leak": "1000"},
    "cache": {"max_entries": 50},
    "limits": {"openai/m": {"requests_per_minute": 10**6}},
    "breaker": {"consecutive_faults": 50, "open_s": 0.05},
    "retry": {"first_backoff_s": 0.005, "max_backoff_s": 0.01},
}

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600 + CALLS // 20)]


@pytest.fixture(params=["memory", *STATES])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield "memory"
        return
    with open_store(request.param, tmp_path) as store:
        yield store.url


async def _call(llm: LLMClient, rng: random.Random, number: int, ends: Counter[str]) -> None:
    """One call that is left alone, cancelled by its caller, or given too little time."""
    fate = rng.random()
    deadline = rng.uniform(0.001, 0.03) if fate < 0.2 else None
    # A few ask the same, so that there are followers; the rest do not.
    text = f"same {number % 7}" if rng.random() < 0.1 else f"{number} something else"
    context = CallContext(scopes=("org", "task:leak"), task="leak", deadline_s=deadline, allow_fallback=number % 2 == 0)
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


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open_files() -> list[str]:
    """What this process has open: files, pipes and sockets."""
    return sorted(filter(None, map(_target, Path("/proc/self/fd").iterdir())))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # the look itself was open
        return ""


def _own_tasks(others: set[asyncio.Task[object]]) -> list[str]:
    return sorted(repr(task.get_coro()).partition(" at ")[0] for task in asyncio.all_tasks() - others)


async def _comes_back(look: Callable[[], object], to: object) -> None:
    """What `look` shows is `to`, now or once what is under way has ended."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S / 4
    while look() != to and loop.time() < deadline:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.02)
    assert look() == to


async def test_nothing_is_left_behind(tmp_path: Path, state_url: str) -> None:
    rng, ends = random.Random(5), Counter()
    with start_provider(WEATHER) as provider:
        settings = CoreSettings.parse(shared_settings(tmp_path, state_url, provider.base_url, **GUARDS))
        files, tasks = len(_open_files()), asyncio.all_tasks()
        async with open_client(settings) as llm:
            await _round(llm, rng, CALLERS, ends)
            own, open_with_client = _own_tasks(tasks), len(_open_files())
            held: list[tuple[int, int]] = []
            for _ in range(ROUNDS):
                await _round(llm, rng, CALLS // ROUNDS, ends)
                await _comes_back(lambda: _own_tasks(tasks), own)
                assert [scope.reserved_nano_usd for scope in await llm.budgets()] == [0, 0]
                assert len(_open_files()) <= open_with_client + CALLERS
                gc.collect()
                held.append((sys.getallocatedblocks(), _resident_bytes()))
        assert held[-1][0] - held[1][0] < GROWTH_BLOCKS, held
        assert held[-1][1] - held[1][1] < GROWTH_BYTES, held
        await _comes_back(asyncio.all_tasks, tasks)
        await _comes_back(lambda: len(_open_files()), files)
        assert provider.settled_counts()["running"] == 0
    assert sum(ends.values()) == CALLS // ROUNDS * ROUNDS + CALLERS
    assert min(ends[how] for how in ("ok", "fallback", "cancelled", "error")) > CALLS // 100
