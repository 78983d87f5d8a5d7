"""Random histories of lookups and fills against an ordered dictionary."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from state.all_stores import LEASE_S, SETTINGS, AllStores

from resources.llm.state.protocol import CacheFollow, CacheHit, CacheLead, StoreConfig

KEYS = ["v", "w", "v:x", "v:y", "n:z"]


class CacheMachine(AllStores):
    """The model is a list of entries from least to most recently used, and a dictionary of leads."""

    def __init__(self) -> None:
        self.config = StoreConfig(cache_max_entries=3, lease_s=LEASE_S)
        super().__init__()
        self.entries = {}
        self.leads = {}
        self.hits = self.misses = 0
        self.other_gone_at = self.now + LEASE_S

    @initialize()
    def open_the_other_owner(self):
        self.ask("open", self.config, "b", self.now)

    @rule(seconds=st.floats(0, 10))
    def advance(self, seconds):
        self.now += seconds
        self.ask("renew", "a", self.now)
        for key, (owner, _) in self.leads.items():
            if owner == "a":
                self.leads[key] = ("a", self.now + LEASE_S)
        if self.now >= self.other_gone_at:
            self.leads = {key: lead for key, lead in self.leads.items() if lead[0] == "a"}
            self.other_gone_at = float("inf")

    @rule(key=st.sampled_from(KEYS), owner=st.sampled_from("ab"))
    def lookup(self, key, owner):
        answer = self.ask("cache_lookup", key, owner, self.now)
        value, expires = self.entries.get(key, (b"", 0))
        if expires > self.now:
            assert answer == CacheHit(value)
            self.entries[key] = self.entries.pop(key)
            self.hits += 1
        elif key in self.leads and self.leads[key][1] > self.now:
            assert isinstance(answer, CacheFollow)
        else:
            assert answer == CacheLead()
            self.leads[key] = (owner, self.now + LEASE_S)
            self.entries.pop(key, None)
            self.misses += 1

    @rule(key=st.sampled_from(KEYS), value=st.binary(max_size=8), ttl_s=st.floats(1, 40))
    def fill(self, key, value, ttl_s):
        self.ask("cache_fill", key, value, ttl_s, self.now)
        self.entries.pop(key, None)
        self.entries[key] = (value, self.now + ttl_s)
        self.leads.pop(key, None)
        while len(self.entries) > 3:
            del self.entries[next(iter(self.entries))]

    @rule(key=st.sampled_from(KEYS), owner=st.sampled_from("ab"))
    def abandon(self, key, owner):
        self.ask("cache_abandon", key, owner)
        if self.leads.get(key, ("", 0))[0] == owner:
            del self.leads[key]

    @rule(namespace=st.sampled_from(["", "v", "n"]))
    def clear_a_namespace(self, namespace):
        dropped = self.ask("cache_clear", namespace)
        mine = [key for key in self.entries if key.rpartition(":")[0] == namespace]
        assert dropped >= sum(self.entries[key][1] > self.now for key in mine)
        for key in mine:
            del self.entries[key]

    @rule()
    def clear(self):
        assert self.ask("cache_clear") >= sum(expires > self.now for _, expires in self.entries.values())
        self.entries = {}

    @invariant()
    def the_bound_holds(self):
        stats = self.ask("cache_stats", self.now)
        live = [value for value, expires in self.entries.values() if expires > self.now]
        assert (stats.entries, stats.size_bytes) == (len(live), sum(map(len, live)))
        assert stats.entries <= 3
        parts = [self.ask("cache_stats", self.now, namespace) for namespace in ("", "v", "n")]
        assert sum(part.entries for part in parts) == stats.entries
        assert sum(part.size_bytes for part in parts) == stats.size_bytes
        assert (stats.hits, stats.misses) == (self.hits, self.misses)


TestCache = CacheMachine.TestCase
TestCache.settings = SETTINGS
