"""The response cache of one process: TTL, LRU bound, one leader per key."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from resources.llm.state.protocol import CacheFollow, CacheHit, CacheLead, CacheLookup, CacheStats, cache_namespace
from resources.llm.state.tables import FOLLOW_POLL_S


@dataclass(frozen=True, slots=True)
class _Entry:
    value: bytes
    expires: float


@dataclass(frozen=True, slots=True)
class _Lead:
    owner: str
    until: float


class MemoryCache:
    """Entries from least to most recently used. Times are epoch seconds."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._leads: dict[str, _Lead] = {}
        self._hits = 0
        self._misses = 0

    def peek(self, key: str, now: float) -> bytes | None:
        """The entry, where there is one; it counts as a hit."""
        entry = self._entries.get(key)
        if entry is None or entry.expires <= now:
            return None
        self._entries.move_to_end(key)
        self._hits += 1
        return entry.value

    def lookup(self, key: str, owner: str, lead_until: float, now: float) -> CacheLookup:
        """The entry, or who fetches it: the first asker leads until `lead_until`."""
        if (value := self.peek(key, now)) is not None:
            return CacheHit(value)
        self._entries.pop(key, None)
        lead = self._leads.get(key)
        if lead is not None and lead.until > now:
            return CacheFollow(FOLLOW_POLL_S)
        self._leads[key] = _Lead(owner, lead_until)
        self._misses += 1
        return CacheLead()

    def fill(self, key: str, value: bytes, expires: float, max_entries: int) -> None:
        """Store an answer, end its lead and drop the least recently used entries above the bound."""
        self._entries.pop(key, None)
        self._entries[key] = _Entry(value, expires)
        self._leads.pop(key, None)
        while len(self._entries) > max_entries:
            self._entries.popitem(last=False)

    def abandon(self, key: str, owner: str) -> None:
        """End the owner's lead without an answer."""
        lead = self._leads.get(key)
        if lead is not None and lead.owner == owner:
            del self._leads[key]

    def release(self, owner: str) -> None:
        """End all leads of an owner."""
        self._leads = {key: lead for key, lead in self._leads.items() if lead.owner != owner}

    def extend_leads(self, owner: str, until: float) -> None:
        """Keep all leads of an owner until then."""
        for key, lead in self._leads.items():
            if lead.owner == owner:
                self._leads[key] = _Lead(owner, until)

    def clear(self, namespace: str | None) -> int:
        """Drop all entries, or those of one namespace; how many there were."""
        dropped = [key for key in self._entries if namespace in (None, cache_namespace(key))]
        for key in dropped:
            del self._entries[key]
        return len(dropped)

    def stats(self, now: float, namespace: str | None) -> CacheStats:
        """Entries that can still be hit, with their bytes, and the counts of lookups."""
        live = ((key, entry) for key, entry in self._entries.items() if entry.expires > now)
        sizes = [len(entry.value) for key, entry in live if namespace in (None, cache_namespace(key))]
        counts = (self._hits, self._misses) if namespace is None else (None, None)
        return CacheStats(len(sizes), sum(sizes), *counts)
