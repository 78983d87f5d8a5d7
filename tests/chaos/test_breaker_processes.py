"""Breaker and limiter hold over four processes, as the provider sees them."""

from __future__ import annotations

import itertools
import time
from bisect import bisect_right
from pathlib import Path

import pytest
from chaos.chaos_worker import Plan
from chaos.crowd import crowd, shared_settings

from benchmarks.provider import Behaviour, start_provider

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]
PROCESSES = 4


def test_a_dead_provider_is_left_alone_but_for_one_probe_at_a_time(tmp_path: Path) -> None:
    callers, latency_s, open_s, opens_after = 8, 0.1, 0.5, 5
    in_flight = PROCESSES * callers
    with start_provider(Behaviour(dead=True, latency_s=latency_s)) as provider:
        settings = shared_settings(tmp_path, provider.base_url, breaker={"open_s": open_s})
        with crowd(PROCESSES, Plan(settings, calls=250, callers=callers, pause_s=0.1)) as processes:
            processes.begin()
            ends = processes.ends()
        arrivals = provider.arrivals()
    assert sum(ends.values()) == 1000
    assert ends["circuit_open"] > 800
    first_wave = bisect_right(arrivals, arrivals[opens_after - 1] + latency_s + open_s / 2)
    probes = arrivals[first_wave:]
    assert first_wave <= opens_after + in_flight
    assert 1 <= len(probes) <= (arrivals[-1] - arrivals[0]) / open_s + 1
    assert all(later - earlier >= latency_s for earlier, later in itertools.pairwise(probes))


def test_one_limit_binds_four_processes_and_is_used(tmp_path: Path) -> None:
    """On a clock four times as fast: a window of 60 s passes in 15, and a request may be 0.25 s under way."""
    speed, limit, cycles = 4.0, 300, 2
    since = time.time()
    with start_provider() as provider:
        settings = shared_settings(
            tmp_path,
            provider.base_url,
            limits={"openai/m": {"requests_per_minute": limit}},
            cache={"enabled": False},
            batch_deadline_s=3600.0,
            lease_s=60,
        )
        for_s = (cycles * 62 + 8) / speed  # a full window turns over every 62 s
        plan = Plan(settings, 100_000, 3, purpose="batch", speed=speed, since=since, for_s=for_s)
        with crowd(PROCESSES, plan) as processes:
            processes.begin()
            time.sleep(for_s)
            arrivals = [since + (moment - since) * speed for moment in provider.arrivals()]
    busiest = max(bisect_right(arrivals, start + 60.0 - 1e-6) - index for index, start in enumerate(arrivals))
    assert busiest <= limit
    used = bisect_right(arrivals, arrivals[0] + cycles * 62)
    assert used >= 0.95 * limit * cycles * 62 / 60
