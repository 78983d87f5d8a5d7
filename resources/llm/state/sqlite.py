"""The state store of one machine: many processes share a SQLite file, and what they admit survives their death."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from resources.llm.state import admission, settling, steering
from resources.llm.state.protocol import (
    BreakerChange,
    CacheFollow,
    CacheLead,
    CacheLookup,
    CacheStats,
    Intent,
    ModelState,
    ScopeState,
    Settlement,
    SettleResult,
    StoreConfig,
    Verdict,
)
from resources.llm.state.sqlite_budget import BudgetRows
from resources.llm.state.sqlite_cache import CacheRows
from resources.llm.state.sqlite_file import Sleep, SqliteFile
from resources.llm.state.sqlite_models import ModelRows
from resources.llm.state.sqlite_owners import OwnerRows

# Which keys were seen to be led only spares transactions, so any of them may be forgotten.
MOST_FOLLOWED = 10_000


class SqliteTables(BudgetRows, ModelRows, OwnerRows):
    """`GuardTables` in SQL, for one transaction, before whose end it must be flushed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        BudgetRows.__init__(self, connection)
        ModelRows.__init__(self, connection)
        OwnerRows.__init__(self, connection)
        self.cache = CacheRows(connection)

    def flush(self) -> None:
        """Write what was put off."""
        self.flush_scopes()
        self.flush_slots()
        self.cache.flush()


class SqliteStateStore:
    """`StateStore` in a file. Safe to call from several event loops, threads and processes.

    Args:
        path: the file; made when it is missing, its folder must exist.
        sleep: waits while another process holds the file.
    """

    def __init__(self, path: Path, sleep: Sleep = asyncio.sleep) -> None:
        self._file = SqliteFile(path, sleep, SqliteTables)
        self._config = StoreConfig()
        self._owners: set[str] = set()
        self._followed: set[str] = set()
        # Only these are kept alive: one whose end could not be written would otherwise never run out.
        self._leads: defaultdict[str, set[str]] = defaultdict(set)

    async def open(self, config: StoreConfig, owner: str, now: float) -> None:
        def step(tables: SqliteTables) -> None:
            steering.apply_caps(tables, config)
            tables.see_owner(owner, now)
            _recover(tables, config, now)

        await self._file.open()
        self._config = config
        self._owners.add(owner)
        await self._file.write(step)

    async def admit(self, intent: Intent, now: float) -> Verdict:
        return await self._file.write(lambda t: admission.admit(t, intent, self._config, now))

    async def settle(self, settlement: Settlement, now: float) -> SettleResult:
        return await self._file.write(lambda t: settling.settle(t, settlement, self._config, now))

    async def set_cap(self, scope: str, cap_nano_usd: int | None) -> None:
        await self._file.write(lambda t: t.put_cap(scope, cap_nano_usd))

    async def unfreeze(self, scope: str) -> None:
        await self._file.write(lambda t: t.set_frozen(scope, False))

    async def set_breaker(self, model: str, state: Literal["closed", "open"], now: float) -> BreakerChange | None:
        return await self._file.write(lambda t: steering.set_breaker(t, model, state, now))

    async def caps(self) -> dict[str, int]:
        return await self._file.read(lambda t: t.caps())

    async def scopes(self) -> list[ScopeState]:
        return await self._file.read(lambda t: t.all_scopes())

    async def capped_scopes(self) -> list[ScopeState]:
        return await self._file.read(lambda t: t.capped_scopes())

    async def models(self, now: float) -> list[ModelState]:
        return await self._file.write(lambda t: steering.model_states(t, self._config, now))

    async def open_attempts(self) -> list[tuple[str, str]]:
        return await self._file.read(lambda t: t.open_attempts())

    async def take_outbox(self, limit: int) -> list[tuple[str, str]]:
        return await self._file.read(lambda t: t.take_records(limit))

    async def acknowledge_outbox(self, attempt_ids: list[str]) -> None:
        await self._file.write(lambda t: t.drop_records(attempt_ids))

    async def rebuild(self, charges: list[tuple[str, int, int]], holds: Sequence[Intent] = ()) -> None:
        def step(tables: SqliteTables) -> None:
            admission.hold_anew(tables, holds)
            tables.replace_totals(charges)

        await self._file.write(step)

    async def reclaim(self) -> None:
        return None  # a file that was lost is never opened again by the same process

    def cache_peek(self, key: str, now: float) -> bytes | None:  # noqa: ARG002 - the Protocol's signature
        return None  # what this process remembers, another may have cleared

    async def cache_lookup(self, key: str, owner: str, now: float) -> CacheLookup:
        if key in self._followed:
            # Followers ask often, and reading disturbs nobody.
            following = await self._file.read(lambda t: t.cache.follow(key, now))
            if following is not None:
                return following
            self._followed.discard(key)
        until = now + self._config.lease_s
        answer = await self._file.write(lambda t: t.cache.lookup(key, owner, until, now))
        if isinstance(answer, CacheFollow):
            if len(self._followed) >= MOST_FOLLOWED:
                self._followed.clear()  # followers that were cancelled never take theirs out
            self._followed.add(key)
        elif isinstance(answer, CacheLead):
            self._leads[owner].add(key)
        return answer

    async def cache_fill(self, key: str, value: bytes, ttl_s: float, now: float) -> None:
        for keys in list(self._leads.values()):  # other threads open the store for owners of theirs
            keys.discard(key)
        most = self._config.cache_max_entries
        await self._file.write(lambda t: t.cache.fill(key, value, now + ttl_s, most))

    async def cache_abandon(self, key: str, owner: str) -> None:
        self._leads[owner].discard(key)
        await self._file.write(lambda t: t.cache.abandon(key, owner))

    async def cache_clear(self, namespace: str | None = None) -> int:
        return await self._file.write(lambda t: t.cache.clear(namespace))

    async def cache_stats(self, now: float, namespace: str | None = None) -> CacheStats:
        return await self._file.write(lambda t: t.cache.stats(now, namespace))

    async def renew(self, owner: str, now: float) -> None:
        until = now + self._config.lease_s
        leads = sorted(self._leads[owner])

        def step(tables: SqliteTables) -> None:
            tables.see_owner(owner, now)
            tables.extend_probes(owner, until)
            tables.cache.extend_leads(owner, leads, until)
            _recover(tables, self._config, now)

        await self._file.write(step)

    async def close(self, owner: str, now: float) -> None:  # noqa: ARG002 - the Protocol's signature
        def step(tables: SqliteTables) -> None:
            settling.book_lost(tables, owner)
            tables.drop_owner(owner)
            tables.cache.release(owner)

        if owner not in self._owners:
            return
        self._owners.discard(owner)
        self._leads.pop(owner, None)
        try:
            await self._file.write(step)
        finally:
            if not self._owners:
                self._file.close()


def _recover(tables: SqliteTables, config: StoreConfig, now: float) -> None:
    for owner in settling.recover(tables, config, now):
        tables.cache.release(owner)
