"""Several processes on one Redis server, some of them killed. Death shows only in silence: they may be far away."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

import pytest
from state.team import Team, worker_starter

from resources.llm.state import open_state_store
from resources.llm.state.protocol import CacheFollow, CacheLead, StateStore, StoreConfig

CAP = 400_000
CONFIG = StoreConfig({"org": CAP, "day": 10 * CAP, "task:x": 10 * CAP}, lease_s=2)


@pytest.fixture(scope="module")
def starter() -> Iterator[IO[str]]:
    with worker_starter() as stream:
        yield stream


@pytest.fixture
def team(starter: IO[str], tmp_path: Path, redis_url: str) -> Iterator[Team]:
    team = Team(starter, tmp_path, redis_url, CONFIG.lease_s)
    yield team
    team.end()


@pytest.fixture
async def parent(team: Team) -> AsyncIterator[StateStore]:
    store = open_state_store(team.url)
    await store.open(CONFIG, "parent", time.time())
    yield store
    await store.close("parent", time.time())


async def totals(store: StateStore) -> tuple[int, int, int]:
    for org in await store.scopes():
        if org.scope == "org":
            assert org.settled_nano_usd + org.ambiguous_nano_usd + org.reserved_nano_usd <= CAP
            return org.settled_nano_usd, org.ambiguous_nano_usd, org.reserved_nano_usd
    return 0, 0, 0


async def booked(store: StateStore) -> dict[str, dict[str, object]]:
    taken = await store.take_outbox(1_000_000)
    parsed = {attempt_id: json.loads(record) for attempt_id, record in taken}
    assert len(parsed) == len(taken)
    return parsed


async def until_done(team: Team, parent: StateStore, *names: str) -> None:
    while any(not (team.folder / name).exists() for name in names):
        await parent.renew("parent", time.time())
        await totals(parent)
        await asyncio.sleep(0.005)


async def test_processes_that_spend_at_once_never_exceed_the_cap_and_use_it_up(team, parent):
    for number in range(3):
        team.start("hammer", f"w{number}", number)
    team.go()
    await until_done(team, parent, *team.names)
    spent = sum(team.results())
    assert await totals(parent) == (spent, 0, 0)
    assert 0.95 * CAP <= spent <= CAP
    assert sum(int(str(record["cost_nano_usd"])) for record in (await booked(parent)).values()) == spent


@pytest.mark.parametrize("seed", range(2))
async def test_money_adds_up_when_a_process_is_killed_at_any_moment(team, parent, seed):
    for number in range(2):
        team.start("hammer", f"w{number}", number)
    team.go()
    await asyncio.sleep(random.Random(seed).uniform(0.0, 0.3))
    team.kill("w0")
    await until_done(team, parent, "w1")
    await parent.renew("parent", time.time() + CONFIG.lease_s)
    settled, ambiguous, reserved = await totals(parent)
    records = await booked(parent)
    lost = [attempt_id for attempt_id, record in records.items() if record["charge"] == "ambiguous"]
    assert len(lost) <= 1
    assert all(attempt_id.startswith("w0") for attempt_id in lost)
    assert (ambiguous, reserved) == (1000 * len(lost), 0)
    assert sum(int(str(record["cost_nano_usd"])) for record in records.values()) == settled + ambiguous
    assert settled + ambiguous >= 0.95 * CAP


async def test_what_a_killed_process_held_is_booked_once_and_its_lead_passes_on(team, parent):
    team.start("hold", "dead", 5)
    team.go()
    team.result("dead")
    second = open_state_store(team.url)
    await second.open(CONFIG, "second", time.time())
    assert await totals(parent) == (0, 0, 5000)
    assert isinstance(await parent.cache_lookup("answer", "parent", time.time()), CacheFollow)
    team.kill("dead")
    while (await totals(parent))[2]:
        now = time.time()
        await asyncio.gather(parent.renew("parent", now), second.renew("second", now))
        await asyncio.sleep(0.02)
    assert await totals(parent) == (0, 5000, 0)
    records = await booked(parent)
    assert set(records) == {f"dead-{number}" for number in range(5)}
    assert all((record["outcome"], record["cost_nano_usd"]) == ("lost", 1000) for record in records.values())
    assert await parent.cache_lookup("answer", "parent", time.time()) == CacheLead()
    assert isinstance(await second.cache_lookup("answer", "second", time.time()), CacheFollow)
    await second.close("second", time.time())


async def test_exactly_one_process_gets_the_probe(team):
    store = open_state_store(team.url)
    await store.open(CONFIG, "old", 1000.0)
    await store.set_breaker("m", "open", 1000.0)
    for number in range(3):
        team.start("probe", f"w{number}", 300)
    team.go()
    assert sorted(team.results()) == [0, 0, 1]
    await store.close("old", 1060.0)


async def test_identical_questions_reach_the_provider_once_even_if_a_leader_dies(team, parent):
    team.start("lead", "leader", 1)
    team.go()
    team.result("leader")
    names = [f"w{number}" for number in range(3)]
    for name in names:
        team.start("fetch", name, 10)
    for name in names:
        team.pid(name)
    team.kill("leader")
    await until_done(team, parent, *names)
    assert sum(team.result(name) for name in names) == 10
    stats = await parent.cache_stats(time.time())
    assert (stats.entries, stats.misses, stats.hits) == (10, 11, 3 * 10)


async def test_a_cap_set_by_one_process_binds_another_at_its_next_admission(team, parent):
    team.start("hammer", "w0", 0)
    await parent.set_cap("org", 50_000)
    team.go()
    spent = team.result("w0")
    assert 0.95 * 50_000 <= spent <= 50_000
