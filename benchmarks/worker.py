"""One subject in a process of its own: reads `start count concurrency` lines, answers each with its CPU seconds."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterator

from benchmarks.subjects import SUBJECTS, Running


def cpu_s() -> float:
    """CPU seconds of this process so far, all threads, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _run(running: Running, start: int, count: int, concurrency: int) -> dict[str, float]:
    numbers = iter(range(start, start + count))
    cpu, wall = cpu_s(), time.perf_counter()
    await asyncio.gather(*(_caller(running, numbers) for _ in range(min(concurrency, count))))
    answered = time.perf_counter() - wall
    await running.flush()
    return {"cpu_s": cpu_s() - cpu, "wall_s": answered}


async def _caller(running: Running, numbers: Iterator[int]) -> None:
    for number in numbers:
        await running.call(number)


async def _serve(subject: str, base_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with SUBJECTS[subject](base_url) as running:
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            start, count, concurrency = map(int, line.split())
            print(json.dumps(await _run(running, start, count, concurrency)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
