"""Several processes on one state file, some of them killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from state.team import PATIENCE_S, Team, worker_starter

from resources.llm.state import open_state_store
from resources.llm.state.protocol import (
    Admitted,
    CacheFollow,
    CacheLead,
    Intent,
    Settlement,
    StateStore,
    StoreConfig,
)

CAP = 400_000
CONFIG = StoreConfig({"org": CAP, "day": 10 * CAP, "task:x": 10 * CAP}, lease_s=60)


@pytest.fixture(scope="module")
def starter() -> Iterator[IO[str]]:
    with worker_starter() as stream:
        yield stream


@pytest.fixture
def team(starter: IO[str], tmp_path: Path) -> Iterator[Team]:
    team = Team(starter, tmp_path, f"sqlite:///{tmp_path / 'state.db'}", CONFIG.lease_s)
    yield team
    team.end()


async def opened(team: Team) -> StateStore:
    store = open_state_store(team.url)
    await store.open(CONFIG, "parent", time.time())
    return store


async def totals(store: StateStore) -> tuple[int, int, int]:
    org = next(scope for scope in await store.scopes() if scope.scope == "org")
    assert org.settled_nano_usd + org.ambiguous_nano_usd + org.reserved_nano_usd <= CAP
    return org.settled_nano_usd, org.ambiguous_nano_usd, org.reserved_nano_usd


async def records(store: StateStore) -> dict[str, dict[str, object]]:
    taken = await store.take_outbox(1_000_000)
    parsed = {attempt_id: json.loads(record) for attempt_id, record in taken}
    assert len(parsed) == len(taken)
    return parsed


async def test_processes_that_spend_at_once_never_exceed_the_cap_and_use_it_up(team):
    store = await opened(team)
    for number in range(3):
        team.start("hammer", f"w{number}", number)
    team.go()
    while any(not (team.folder / name).exists() for name in team.names):
        if await store.scopes():
            await totals(store)
        await asyncio.sleep(0.002)
    spent = sum(team.results())
    assert await totals(store) == (spent, 0, 0)
    assert 0.95 * CAP <= spent <= CAP
    assert sum(int(str(record["cost_nano_usd"])) for record in (await records(store)).values()) == spent
    await store.close("parent", time.time())


@pytest.mark.parametrize("seed", range(3))
async def test_money_adds_up_when_a_process_is_killed_at_any_moment(team, seed):
    store = await opened(team)
    for number in range(2):
        team.start("hammer", f"w{number}", number)
    team.go()
    await asyncio.sleep(random.Random(seed).uniform(0.0, 0.12))
    team.kill("w0")
    # What the dead process held would keep the other one waiting for as long as nobody recovers it.
    await store.renew("parent", time.time())
    team.result("w1")
    await store.renew("parent", time.time())
    settled, ambiguous, reserved = await totals(store)
    booked = await records(store)
    lost = [attempt_id for attempt_id, record in booked.items() if record["charge"] == "ambiguous"]
    assert len(lost) <= 1
    assert all(attempt_id.startswith("w0") for attempt_id in lost)
    assert (ambiguous, reserved) == (1000 * len(lost), 0)
    assert sum(int(str(record["cost_nano_usd"])) for record in booked.values()) == settled + ambiguous
    assert settled + ambiguous >= 0.95 * CAP
    await store.close("parent", time.time())


async def test_exactly_one_process_gets_the_probe(team):
    store = open_state_store(team.url)
    await store.open(CONFIG, "parent", 1000.0)
    await store.set_breaker("m", "open", 1000.0)
    for number in range(3):
        team.start("probe", f"w{number}", 300)
    team.go()
    assert sorted(team.results()) == [0, 0, 1]
    await store.close("parent", 1060.0)


async def test_what_a_killed_process_held_is_booked_once_and_its_lead_passes_on(team):
    store = await opened(team)
    team.start("hold", "dead", 5)
    team.go()
    team.result("dead")
    await store.renew("parent", time.time())
    assert await totals(store) == (0, 0, 5000)
    assert isinstance(await store.cache_lookup("answer", "parent", time.time()), CacheFollow)

    team.kill("dead")
    second = open_state_store(team.url)
    await second.open(CONFIG, "second", time.time())
    await store.renew("parent", time.time())
    assert await totals(store) == (0, 5000, 0)
    booked = await records(store)
    assert set(booked) == {f"dead-{number}" for number in range(5)}
    assert all(
        (record["charge"], record["outcome"], record["cost_nano_usd"]) == ("ambiguous", "lost", 1000)
        for record in booked.values()
    )
    assert await store.cache_lookup("answer", "parent", time.time()) == CacheLead()
    assert isinstance(await second.cache_lookup("answer", "second", time.time()), CacheFollow)
    await store.close("parent", time.time())
    await second.close("second", time.time())


async def test_a_killed_process_is_known_to_be_gone_before_its_parent_collects_it(tmp_path):
    with worker_starter("--leave-zombies") as stream:
        team = Team(stream, tmp_path, f"sqlite:///{tmp_path / 'state.db'}", CONFIG.lease_s)
        store = await opened(team)
        team.start("hold", "dead", 1)
        team.go()
        team.result("dead")
        os.kill(team.pid("dead"), signal.SIGKILL)
        for _ in range(PATIENCE_S * 200):
            await store.renew("parent", time.time())
            if (await totals(store))[1]:
                break
            await asyncio.sleep(0.005)
        os.kill(team.pid("dead"), 0)
        assert await totals(store) == (0, 1000, 0)
        await store.close("parent", time.time())


async def test_identical_questions_of_several_processes_reach_the_provider_once(team):
    store = await opened(team)
    for number in range(3):
        team.start("fetch", f"w{number}", 20)
    team.go()
    assert sum(team.results()) == 20
    stats = await store.cache_stats(time.time())
    assert (stats.entries, stats.misses, stats.hits) == (20, 20, 3 * 20)
    await store.close("parent", time.time())


async def test_a_lowered_cap_binds_another_process_at_its_next_admission(tmp_path):
    one, other = (open_state_store(f"sqlite:///{tmp_path}/s.db") for _ in range(2))
    await one.open(StoreConfig({"org": 1000}), "one", 0)
    await other.open(StoreConfig({"org": 1000}), "other", 0)
    intent = Intent("t1", "m", ("org",), 600, 1, "other", "{}")
    assert await other.admit(intent, 0) == Admitted()
    await other.settle(Settlement("t1", "free", 0, None, "neutral", "{}"), 0)
    await one.set_cap("org", 500)
    assert await other.admit(intent, 0) != Admitted()
    await one.close("one", 0)
    await other.close("other", 0)
