"""The contract of the response cache and its single flight."""

from __future__ import annotations

from resources.llm.state.protocol import CacheFollow, CacheHit, CacheLead, CacheStats, StoreConfig


async def put(store, key: str, value: bytes = b"answer", ttl_s: float = 100, now: float = 0) -> None:
    await store.cache_lookup(key, "a", now)
    await store.cache_fill(key, value, ttl_s, now)


async def test_the_first_asker_leads_and_the_others_follow_until_it_fills(store):
    await store.open(StoreConfig(), "a", 0)
    assert await store.cache_lookup("k", "a", 0) == CacheLead()
    for owner in ("a", "b"):
        following = await store.cache_lookup("k", owner, 0)
        assert isinstance(following, CacheFollow)
        assert 0 < following.seconds <= 0.05
    await store.cache_fill("k", b"\x00\xff", 10, 1)
    assert await store.cache_lookup("k", "b", 2) == CacheHit(b"\x00\xff")


async def test_an_entry_lives_for_its_ttl(store):
    await store.open(StoreConfig(), "a", 0)
    await put(store, "k", ttl_s=10, now=5)
    assert isinstance(await store.cache_lookup("k", "a", 14.9), CacheHit)
    assert await store.cache_lookup("k", "a", 15) == CacheLead()


async def test_what_is_at_hand_is_what_a_lookup_would_bring_and_counts_as_a_hit(store):
    await store.open(StoreConfig(cache_max_entries=2), "a", 0)
    assert store.cache_peek("k", 0) is None
    for key in ("k", "l"):
        await put(store, key, ttl_s=10)
    before = (await store.cache_stats(1)).hits
    peeked = store.cache_peek("k", 1)
    assert peeked in (None, b"answer")
    assert (await store.cache_stats(1)).hits == before + (peeked is not None)
    await put(store, "m", ttl_s=10, now=2)  # drops the least recently used
    assert store.cache_peek("k", 3) == peeked
    assert store.cache_peek("k", 10) is None
    await store.cache_clear()
    assert store.cache_peek("k", 3) is None


async def test_an_abandoned_lead_passes_to_the_next_follower(store):
    await store.open(StoreConfig(), "a", 0)
    await store.cache_lookup("k", "a", 0)
    await store.cache_abandon("k", "b")
    assert isinstance(await store.cache_lookup("k", "b", 0), CacheFollow)
    await store.cache_abandon("k", "a")
    assert await store.cache_lookup("k", "b", 0) == CacheLead()
    assert isinstance(await store.cache_lookup("k", "a", 0), CacheFollow)


async def test_a_lead_passes_on_when_it_is_not_renewed_for_the_lease(store):
    await store.open(StoreConfig(lease_s=15), "a", 0)
    await store.cache_lookup("k", "a", 0)
    await store.renew("a", 10)
    assert isinstance(await store.cache_lookup("k", "b", 24.9), CacheFollow)
    assert await store.cache_lookup("k", "b", 25) == CacheLead()
    await store.cache_abandon("k", "a")
    assert isinstance(await store.cache_lookup("k", "a", 25), CacheFollow)


async def test_leads_of_closed_and_of_dead_owners_are_released(store):
    await store.open(StoreConfig(lease_s=100), "a", 80)
    await store.open(StoreConfig(lease_s=100), "b", 0)
    await store.cache_lookup("k", "b", 80)
    await store.renew("a", 100)
    assert await store.cache_lookup("k", "a", 100) == CacheLead()
    await store.open(StoreConfig(lease_s=100), "b", 100)
    await store.cache_lookup("j", "b", 100)
    await store.close("b", 101)
    assert await store.cache_lookup("j", "a", 101) == CacheLead()


async def test_the_least_recently_used_entry_goes_first(store):
    await store.open(StoreConfig(cache_max_entries=2), "a", 0)
    await put(store, "first")
    await put(store, "second")
    await store.cache_lookup("first", "a", 1)
    await put(store, "third")
    assert isinstance(await store.cache_lookup("first", "a", 2), CacheHit)
    assert isinstance(await store.cache_lookup("third", "a", 2), CacheHit)
    assert await store.cache_lookup("second", "a", 2) == CacheLead()


async def test_a_bound_of_zero_stores_nothing(store):
    await store.open(StoreConfig(cache_max_entries=0), "a", 0)
    await put(store, "k")
    assert await store.cache_lookup("k", "a", 1) == CacheLead()


async def test_filling_again_replaces_the_answer(store):
    await store.open(StoreConfig(), "a", 0)
    await put(store, "k", b"old")
    await store.cache_fill("k", b"newer", 100, 0)
    assert await store.cache_lookup("k", "a", 1) == CacheHit(b"newer")
    assert await store.cache_stats(1) == CacheStats(1, 5, 1, 1)


async def test_clear_drops_entries_but_not_flights(store):
    await store.open(StoreConfig(), "a", 0)
    await put(store, "one", b"123")
    await put(store, "two", b"45")
    await store.cache_lookup("flying", "a", 0)
    assert await store.cache_clear() == 2
    assert await store.cache_clear() == 0
    assert await store.cache_lookup("one", "a", 1) == CacheLead()
    assert isinstance(await store.cache_lookup("flying", "a", 1), CacheFollow)


async def test_one_namespace_is_counted_and_dropped_without_the_others(store):
    await store.open(StoreConfig(cache_max_entries=5), "a", 0)
    held = {"team_a:1": b"123", "team_a:2": b"4", "team_ab:1": b"56", "7": b"8888", "team_a.b:1": b"9"}
    for key, value in held.items():
        await put(store, key, value)
    await put(store, "team_a:2", b"4", ttl_s=5)
    assert await store.cache_stats(1, "team_a") == CacheStats(2, 4, None, None)
    assert await store.cache_stats(6, "team_a") == CacheStats(1, 3, None, None)
    assert await store.cache_stats(1, "") == CacheStats(1, 4, None, None)
    assert (await store.cache_stats(1)).entries == 5
    assert await store.cache_clear("team") == 0
    assert await store.cache_clear("team_a") == 2
    assert await store.cache_clear("team_a") == 0
    assert await store.cache_lookup("team_a:1", "a", 1) == CacheLead()
    for key in ("team_ab:1", "7", "team_a.b:1"):
        assert await store.cache_lookup(key, "a", 1) == CacheHit(held[key])
    assert await store.cache_clear("") == 1
    for key in "vwx":  # the bound still counts right: 2 are left, so none has to go
        await put(store, key)
    assert await store.cache_lookup("team_ab:1", "a", 1) == CacheHit(b"56")
    await put(store, "y")
    assert (await store.cache_stats(1)).entries == 5


async def test_stats_count_hits_misses_and_what_can_still_be_hit(store):
    await store.open(StoreConfig(), "a", 0)
    assert await store.cache_stats(0) == CacheStats(0, 0, 0, 0)
    await put(store, "one", b"123", ttl_s=5)
    await put(store, "two", b"45")
    await store.cache_lookup("one", "a", 1)
    await store.cache_lookup("three", "a", 1)
    await store.cache_lookup("three", "a", 1)
    assert await store.cache_stats(1) == CacheStats(2, 5, 1, 3)
    assert await store.cache_stats(6) == CacheStats(1, 2, 1, 3)
