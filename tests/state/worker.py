"""Processes that work on a shared state store, for the tests of several processes.

Reads one worker per line from standard input, as JSON `[url, lease_s, role, name, result file, number]`, and forks it:
imports take longer than the work. A worker opens the store for itself and renews its lease. Every role writes its
result as JSON, atomically, before it ends or waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from resources.llm.state import open_state_store
from resources.llm.state.protocol import (
    Admitted,
    CacheHit,
    CacheLead,
    Intent,
    Refused,
    Settlement,
    StateStore,
    StoreConfig,
)

LONGEST_LIFE_S = 100
SCOPES = ("org", "day:2026-11-22", "task:x")


def report(path: str, result: object) -> None:
    part = Path(f"{path}.part")
    part.write_text(json.dumps(result))
    part.rename(path)


def make_intent(name: str, number: int, reserve: int) -> Intent:
    attempt_id = f"{name}-{number}"
    return Intent(attempt_id, "m", SCOPES, reserve, 1, name, json.dumps({"attempt_id": attempt_id}))


async def settle(store: StateStore, intent: Intent, cost: int) -> None:
    record = json.dumps({"attempt_id": intent.attempt_id, "charge": "settled", "cost_nano_usd": cost})
    await store.settle(Settlement(intent.attempt_id, "settled", cost, None, "success", record), time.time())


async def hammer(store: StateStore, name: str, result: str, seed: int) -> None:
    """Spend until the budget refuses."""
    rng = random.Random(seed)
    spent, number = 0, 0
    while True:
        number += 1
        intent = make_intent(name, number, 1000)
        verdict = await store.admit(intent, time.time())
        if isinstance(verdict, Refused):
            break
        if isinstance(verdict, Admitted):
            cost = rng.randint(300, 1000)
            await asyncio.sleep(0)
            await settle(store, intent, cost)
            spent += cost
        else:
            await asyncio.sleep(0.001)
    report(result, spent)


async def probe(store: StateStore, name: str, result: str, asks: int) -> None:
    """Ask for the half-open breaker's probe again and again, at one instant, and keep it until killed."""
    verdicts = [await store.admit(make_intent(name, number, 0), 1060.0) for number in range(asks)]
    report(result, sum(verdict == Admitted(probe=True) for verdict in verdicts))
    await asyncio.sleep(LONGEST_LIFE_S)


async def hold(store: StateStore, name: str, result: str, intents: int) -> None:
    """Admit some attempts, take a lead and wait to be killed."""
    for number in range(intents):
        assert isinstance(await store.admit(make_intent(name, number, 1000), time.time()), Admitted)
    await store.cache_lookup("answer", name, time.time())
    report(result, intents)
    await asyncio.sleep(LONGEST_LIFE_S)


async def fetch(store: StateStore, name: str, result: str, keys: int) -> None:
    """Get the answer of every key, calling the provider only as the leader."""
    calls = 0
    for key in range(keys):
        while True:
            answer = await store.cache_lookup(f"key{key}", name, time.time())
            if isinstance(answer, CacheHit):
                break
            if isinstance(answer, CacheLead):
                calls += 1
                await asyncio.sleep(0.005)
                await store.cache_fill(f"key{key}", b"answer", 600, time.time())
            else:
                await asyncio.sleep(answer.seconds)
    report(result, calls)


async def lead(store: StateStore, name: str, result: str, number: int) -> None:
    """Take the lead of an answer and keep it until killed."""
    assert isinstance(await store.cache_lookup("key0", name, time.time()), CacheLead)
    report(result, number)
    await asyncio.sleep(LONGEST_LIFE_S)


async def beat(store: StateStore, name: str, lease_s: float) -> None:
    while True:
        await asyncio.sleep(lease_s / 8)
        await store.renew(name, time.time())


ROLES = {"hammer": hammer, "probe": probe, "hold": hold, "fetch": fetch, "lead": lead}


async def main(url: str, lease_s: float, role: str, name: str, result: str, number: int) -> None:
    store = open_state_store(url)
    now = 1060.0 if role == "probe" else time.time()
    await store.open(StoreConfig(lease_s=lease_s), name, now)
    report(f"{result}.ready", os.getpid())
    start = Path(result).with_name("start")
    while not start.exists():  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.005)
    heart = asyncio.create_task(beat(store, name, lease_s)) if role != "probe" else None
    await ROLES[role](store, name, result, number)
    if heart is not None:
        heart.cancel()
    await store.close(name, now)


def fork_workers() -> None:
    for line in sys.stdin:
        if os.fork() == 0:
            signal.alarm(LONGEST_LIFE_S)
            asyncio.run(main(*json.loads(line)))
            os._exit(0)


if __name__ == "__main__":
    if "--leave-zombies" not in sys.argv:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    fork_workers()
