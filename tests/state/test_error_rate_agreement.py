"""A long, dense history of faults: the stores open and close a breaker by its error rate at the same moments."""

from __future__ import annotations

import random

import pytest

from resources.llm.state import open_state_store
from resources.llm.state.protocol import Admitted, BreakerPolicy, Intent, Settlement, StateStore, StoreConfig, Wait

POLICY = BreakerPolicy(
    consecutive_faults=1000, open_s=3.0, successes_to_close=1, error_rate=0.4, error_rate_window_s=9.7,
    error_rate_min_calls=6,
)  # fmt: skip


async def breaker_moves(store: StateStore, seed: int) -> list[tuple[float, str, str]]:
    """When the breaker moved, and how, over 800 calls."""
    rng = random.Random(seed)
    moves, now = [], 1_795_305_600.123
    await store.open(StoreConfig(breaker=POLICY), "a", now)
    for number in range(800):
        now += rng.uniform(0, 1.6)
        health = rng.choices(["fault", "success", "neutral"], [3, 6, 1])[0]
        verdict = await store.admit(Intent(f"t{number}", "m", (), 0, 1, "a", "{}"), now)
        assert not isinstance(verdict, Wait)
        if isinstance(verdict, Admitted):
            result = await store.settle(Settlement(f"t{number}", "free", 0, None, health, "{}"), now)
            if result.breaker is not None:
                moves.append((now, result.breaker.before, result.breaker.after))
    await store.close("a", now)
    return moves


@pytest.mark.parametrize("seed", range(2))
async def test_error_rates_open_the_breaker_at_the_same_moments_in_every_store(tmp_path, redis_url, seed):
    urls = ("memory", f"sqlite:///{tmp_path}/s.db", redis_url)
    first, *others = [await breaker_moves(open_state_store(url), seed) for url in urls]
    assert len(first) > 20
    for other in others:
        assert other == first
