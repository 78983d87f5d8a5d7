"""State files of earlier formats, opened by this program: all money is kept."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from core.conftest import rows

from domain.errors import StateUnavailableError
from resources.database.tables.ledger import AttemptRow
from resources.llm import CoreSettings, open_client
from resources.llm.state import sqlite_file
from resources.llm.state.protocol import Admitted, CacheFollow, CacheHit, Intent, ScopeState, Settlement, StoreConfig
from resources.llm.state.sqlite import SqliteStateStore
from resources.llm.state.sqlite_schema import SCHEMA_VERSION

START = 1_795_305_600.0
DAY = "day:2026-11-22"
CAPS = {"org": 100_000, "day": 5_000}
CONFIG = StoreConfig(CAPS, cache_max_entries=3)


@pytest.fixture
def format_1(tmp_path: Path) -> Path:
    """What a killed process of format 1 left: 100 settled, 100 ambiguous, two attempts of 100 each under way."""
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.executescript((Path(__file__).parent / "state_format_1.sql").read_text("utf-8"))
    connection.close()
    assert format_of(path) == 1
    return path


def format_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def scopes(settled: int, ambiguous: int, reserved: int) -> list[ScopeState]:
    totals = (settled, ambiguous, reserved)
    return [ScopeState(DAY, 5_000, *totals, frozen=False), ScopeState("org", 100_000, *totals, frozen=False)]


async def records_of(store: SqliteStateStore) -> dict[str, tuple[str, int]]:
    taken = [(attempt_id, json.loads(record)) for attempt_id, record in await store.take_outbox(100)]
    return {attempt_id: (record["charge"], record["cost_nano_usd"]) for attempt_id, record in taken}


async def test_what_a_dead_process_left_open_is_booked_and_nothing_is_lost(format_1: Path) -> None:
    store = SqliteStateStore(format_1)
    await store.open(CONFIG, "new", START + 1000)
    assert await store.scopes() == scopes(100, 300, 0)
    assert await records_of(store) == {
        "c2-1": ("ambiguous", 100),
        "c3-1": ("free", 0),
        "c4-1": ("settled", 60),
        "c5-1": ("ambiguous", 100),
        "c6-1": ("ambiguous", 100),
    }
    assert await store.caps() == {**CAPS, "task:t": 700}
    await store.close("new", START + 1000)
    assert format_of(format_1) == SCHEMA_VERSION


async def test_attempts_of_a_living_process_stay_open_and_are_settled_once(format_1: Path) -> None:
    store = SqliteStateStore(format_1)
    await store.open(CONFIG, "new", START + 10)
    assert await store.scopes() == scopes(100, 100, 200)
    for _ in range(2):
        await store.settle(Settlement("c5-1", "settled", 70, 15, "success", "{}"), START + 10.5)
    assert await store.scopes() == scopes(170, 100, 100)
    (model,) = await store.models(START + 11)
    assert (model.breaker, model.paused_until) == ("closed", START + 39)
    intent = Intent("n1-1", "openai/other", (DAY, "org"), 4_630, 1, "new", "{}")
    assert await store.admit(intent, START + 11) == Admitted()  # exactly what the day has left
    assert not isinstance(await store.admit(Intent(**{**fields(intent), "attempt_id": "n2-1"}), START + 11), Admitted)
    await store.close("new", START + 12)


def fields(intent: Intent) -> dict[str, Any]:
    return {name: getattr(intent, name) for name in Intent.__dataclass_fields__}


async def test_its_cache_is_kept_and_its_bound_counts_from_there(format_1: Path) -> None:
    store = SqliteStateStore(format_1)
    await store.open(CONFIG, "new", START + 10)
    stats = await store.cache_stats(START + 10)
    assert (stats.entries, stats.size_bytes, stats.hits, stats.misses) == (2, 8, 1, 3)
    assert await store.cache_lookup("k1", "new", START + 10) == CacheHit(b"one")
    assert isinstance(await store.cache_lookup("led", "new", START + 10), CacheFollow)
    for key in ("k3", "k4"):
        await store.cache_fill(key, b"x", 100, START + 11)
    assert (await store.cache_stats(START + 12)).entries == 3
    assert await store.cache_lookup("k1", "new", START + 12) == CacheHit(b"one")
    await store.close("new", START + 12)


async def test_two_that_open_it_at_once_upgrade_it_once(format_1: Path) -> None:
    one, two = SqliteStateStore(format_1), SqliteStateStore(format_1)
    await asyncio.gather(one.open(CONFIG, "one", START + 1000), two.open(CONFIG, "two", START + 1000))
    assert await one.scopes() == await two.scopes() == scopes(100, 300, 0)
    assert len(await records_of(two)) == 5
    for store, owner in ((one, "one"), (two, "two")):
        await store.close(owner, START + 1001)


async def test_an_upgrade_that_fails_leaves_the_file_as_it_was(format_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrades = sqlite_file.UPGRADES
    monkeypatch.setattr(sqlite_file, "UPGRADES", {1: upgrades[1] + "INSERT INTO no_such_table VALUES (1);\n"})
    with pytest.raises(StateUnavailableError, match="no_such_table"):
        await SqliteStateStore(format_1).open(CONFIG, "new", START + 1000)
    assert format_of(format_1) == 1
    monkeypatch.setattr(sqlite_file, "UPGRADES", upgrades)
    store = SqliteStateStore(format_1)
    await store.open(CONFIG, "new", START + 1000)
    assert await store.scopes() == scopes(100, 300, 0)
    await store.close("new", START + 1000)


async def test_its_outbox_reaches_the_ledger_of_this_program(format_1: Path, tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path / 'promptory.db'}"
    settings = CoreSettings.parse({"state": f"sqlite:///{format_1}", "ledger": ledger, "flush_interval_s": 60})
    async with open_client(settings, clock=lambda: START + 1000) as llm:
        await llm.flush()
        totals = {state.scope: (state.settled_nano_usd, state.ambiguous_nano_usd) for state in await llm.budgets()}
    booked: Counter[str] = Counter()
    for attempt in rows(ledger, AttemptRow):
        booked[attempt.charge] += attempt.cost_nano_usd
    # 40 of the settled ones had reached the former program's ledger before it was killed.
    assert (booked["settled"] + 40, booked["ambiguous"]) == totals["org"] == totals[DAY] == (100, 300)
