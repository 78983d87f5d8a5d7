"""The state store of a single process. It makes no promise beyond the process's life."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal

from resources.llm.state import admission, settling, steering
from resources.llm.state.memory_cache import MemoryCache
from resources.llm.state.memory_tables import MemoryTables
from resources.llm.state.protocol import (
    BreakerChange,
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


class MemoryStateStore:
    """`StateStore` in dictionaries. Safe to call from several event loops and threads: every step holds one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._config = StoreConfig()
        self._tables = MemoryTables()
        self._cache = MemoryCache()

    async def open(self, config: StoreConfig, owner: str, now: float) -> None:
        with self._lock:
            self._config = config
            steering.apply_caps(self._tables, config)
            self._tables.see_owner(owner, now)
            self._recover(now)

    async def admit(self, intent: Intent, now: float) -> Verdict:
        with self._lock:
            return admission.admit(self._tables, intent, self._config, now)

    async def settle(self, settlement: Settlement, now: float) -> SettleResult:
        with self._lock:
            return settling.settle(self._tables, settlement, self._config, now)

    async def set_cap(self, scope: str, cap_nano_usd: int | None) -> None:
        with self._lock:
            self._tables.put_cap(scope, cap_nano_usd)

    async def unfreeze(self, scope: str) -> None:
        with self._lock:
            self._tables.set_frozen(scope, False)

    async def set_breaker(self, model: str, state: Literal["closed", "open"], now: float) -> BreakerChange | None:
        with self._lock:
            return steering.set_breaker(self._tables, model, state, now)

    async def caps(self) -> dict[str, int]:
        with self._lock:
            return self._tables.caps()

    async def scopes(self) -> list[ScopeState]:
        with self._lock:
            return self._tables.all_scopes()

    async def capped_scopes(self) -> list[ScopeState]:
        return [state for state in await self.scopes() if state.cap_nano_usd is not None]

    async def models(self, now: float) -> list[ModelState]:
        with self._lock:
            return steering.model_states(self._tables, self._config, now)

    async def open_attempts(self) -> list[tuple[str, str]]:
        with self._lock:
            return self._tables.open_attempts()

    async def take_outbox(self, limit: int) -> list[tuple[str, str]]:
        with self._lock:
            return self._tables.take_records(limit)

    async def acknowledge_outbox(self, attempt_ids: list[str]) -> None:
        with self._lock:
            self._tables.drop_records(attempt_ids)

    async def rebuild(self, charges: list[tuple[str, int, int]], holds: Sequence[Intent] = ()) -> None:
        with self._lock:
            admission.hold_anew(self._tables, holds)
            self._tables.replace_totals(charges)

    async def reclaim(self) -> None:
        return None  # what a process forgets, it forgets with all that it has under way

    def cache_peek(self, key: str, now: float) -> bytes | None:
        with self._lock:
            return self._cache.peek(key, now)

    async def cache_lookup(self, key: str, owner: str, now: float) -> CacheLookup:
        with self._lock:
            return self._cache.lookup(key, owner, now + self._config.lease_s, now)

    async def cache_fill(self, key: str, value: bytes, ttl_s: float, now: float) -> None:
        with self._lock:
            self._cache.fill(key, value, now + ttl_s, self._config.cache_max_entries)

    async def cache_abandon(self, key: str, owner: str) -> None:
        with self._lock:
            self._cache.abandon(key, owner)

    async def cache_clear(self, namespace: str | None = None) -> int:
        with self._lock:
            return self._cache.clear(namespace)

    async def cache_stats(self, now: float, namespace: str | None = None) -> CacheStats:
        with self._lock:
            return self._cache.stats(now, namespace)

    async def renew(self, owner: str, now: float) -> None:
        with self._lock:
            until = now + self._config.lease_s
            self._tables.see_owner(owner, now)
            self._tables.extend_probes(owner, until)
            self._cache.extend_leads(owner, until)
            self._recover(now)

    async def close(self, owner: str, now: float) -> None:  # noqa: ARG002 - the Protocol's signature
        with self._lock:
            settling.book_lost(self._tables, owner)
            self._tables.drop_owner(owner)
            self._cache.release(owner)

    def _recover(self, now: float) -> None:
        for owner in settling.recover(self._tables, self._config, now):
            self._cache.release(owner)
