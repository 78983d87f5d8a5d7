"""The response cache as rows of the state file: TTL, LRU bound, one leader per key across processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from resources.llm.state.protocol import CacheFollow, CacheHit, CacheLead, CacheLookup, CacheStats
from resources.llm.state.tables import FOLLOW_POLL_S

NEXT_USE = "(SELECT coalesce(max(used), 0) + 1 FROM cache_entries)"
SELECT_OTHER_LEAD = """
SELECT 1 FROM cache_leads
WHERE key = ?1 AND until > ?2 AND NOT EXISTS (SELECT 1 FROM cache_entries WHERE key = ?1 AND expires > ?2)
"""
LOOK = """
SELECT
    (SELECT expires > ?2 FROM cache_entries WHERE key = ?1),
    EXISTS (SELECT 1 FROM cache_leads WHERE key = ?1 AND until > ?2)
"""
# ?1 is NULL for all entries. The namespace is what a key begins with, up to a colon.
IN_NAMESPACE = "(?1 IS NULL OR substr(key, 1, instr(key, ':')) = CASE ?1 WHEN '' THEN '' ELSE ?1 || ':' END)"
NOTE_USE = f"UPDATE cache_entries SET used = {NEXT_USE} WHERE key = ?"  # noqa: S608 - a constant
PUT_ENTRY = f"""
INSERT INTO cache_entries (key, expires, used, size) VALUES (?, ?, {NEXT_USE}, ?)
"""  # noqa: S608 - a constant
LEAST_RECENTLY_USED = "SELECT key FROM cache_entries ORDER BY used LIMIT ?"
ADD_COUNTS = "UPDATE cache_counts SET hits = hits + ?, misses = misses + ?, entries = entries + ?"


class CacheRows:
    """What `MemoryCache` is, in SQL. Times are epoch seconds. Counts are written once per transaction, by `flush`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._hits = 0
        self._misses = 0
        self._more_entries = 0
        self._most: int | None = None

    def flush(self) -> None:
        """Write the counts, and drop the least recently used entries above the bound."""
        if self._most is not None and self._more_entries > 0:
            (entries,) = self._connection.execute("SELECT entries FROM cache_counts").fetchone()
            surplus = entries + self._more_entries - self._most
            if surplus > 0:
                for (key,) in self._connection.execute(LEAST_RECENTLY_USED, (surplus,)).fetchall():
                    self._drop(key)
        if self._hits or self._misses or self._more_entries:
            self._connection.execute(ADD_COUNTS, (self._hits, self._misses, self._more_entries))
        self._hits = self._misses = self._more_entries = 0

    def follow(self, key: str, now: float) -> CacheFollow | None:
        """Whether somebody fetches the answer already. Needs no transaction, so that followers disturb nobody."""
        led = self._connection.execute(SELECT_OTHER_LEAD, (key, now)).fetchone()
        return None if led is None else CacheFollow(FOLLOW_POLL_S)

    def lookup(self, key: str, owner: str, lead_until: float, now: float) -> CacheLookup:
        """The entry, or who fetches it: the first asker leads until `lead_until`."""
        fresh, led = self._connection.execute(LOOK, (key, now)).fetchone()
        if fresh:
            (value,) = self._connection.execute("SELECT value FROM cache_values WHERE key = ?", (key,)).fetchone()
            self._connection.execute(NOTE_USE, (key,))
            self._hits += 1
            return CacheHit(value)
        if fresh is not None:
            self._drop(key)
        if led:
            return CacheFollow(FOLLOW_POLL_S)
        self._connection.execute(
            "INSERT OR REPLACE INTO cache_leads (key, owner, until) VALUES (?, ?, ?)", (key, owner, lead_until)
        )
        self._misses += 1
        return CacheLead()

    def fill(self, key: str, value: bytes, expires: float, max_entries: int) -> None:
        """Store an answer and end its lead."""
        self._drop(key)
        self._connection.execute(PUT_ENTRY, (key, expires, len(value)))
        self._connection.execute("INSERT OR REPLACE INTO cache_values (key, value) VALUES (?, ?)", (key, value))
        self._connection.execute("DELETE FROM cache_leads WHERE key = ?", (key,))
        self._more_entries += 1
        self._most = max_entries

    def abandon(self, key: str, owner: str) -> None:
        """End the owner's lead without an answer."""
        self._connection.execute("DELETE FROM cache_leads WHERE key = ? AND owner = ?", (key, owner))

    def release(self, owner: str) -> None:
        """End all leads of an owner."""
        self._connection.execute("DELETE FROM cache_leads WHERE owner = ?", (owner,))

    def extend_leads(self, owner: str, keys: Iterable[str], until: float) -> None:
        """Keep those leads of an owner until then."""
        extend = "UPDATE cache_leads SET until = ? WHERE key = ? AND owner = ?"
        self._connection.executemany(extend, [(until, key, owner) for key in keys])

    def clear(self, namespace: str | None) -> int:
        """Drop all entries, or those of one namespace; how many there were."""
        self._connection.execute(f"DELETE FROM cache_values WHERE {IN_NAMESPACE}", (namespace,))  # noqa: S608 - a constant
        deleted = self._connection.execute(f"DELETE FROM cache_entries WHERE {IN_NAMESPACE}", (namespace,))  # noqa: S608
        self._more_entries -= deleted.rowcount
        return deleted.rowcount

    def stats(self, now: float, namespace: str | None) -> CacheStats:
        """Entries that can still be hit, with their bytes, and the counts of lookups."""
        self.flush()
        live = f"SELECT count(*), total(size) FROM cache_entries WHERE {IN_NAMESPACE} AND expires > ?2"  # noqa: S608
        count, size = self._connection.execute(live, (namespace, now)).fetchone()
        if namespace is not None:
            return CacheStats(count, int(size), None, None)
        hits, misses = self._connection.execute("SELECT hits, misses FROM cache_counts").fetchone()
        return CacheStats(count, int(size), hits, misses)

    def _drop(self, key: str) -> None:
        if self._connection.execute("DELETE FROM cache_entries WHERE key = ?", (key,)).rowcount:
            self._connection.execute("DELETE FROM cache_values WHERE key = ?", (key,))
            self._more_entries -= 1
