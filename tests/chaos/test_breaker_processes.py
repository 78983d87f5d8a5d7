"""The breaker of four processes is one: as the provider sees it, from its failure to its recovery."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from chaos.chaos_worker import Plan
from chaos.crowd import Place, crowd, wait_until

from benchmarks.books import read_attempts
from benchmarks.meter import Behaviour, Visit
from benchmarks.provider import start_provider

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
PROCESSES, CALLERS, CALLS = 4, 8, 1000
OPENS_AFTER, CLOSES_AFTER, OPEN_S = 5, 3, 0.3
DEAD = Behaviour(dead=True, latency_s=0.1)


def _plans(place: Place, base_url: str, *, open_s: float, **changes: Any) -> list[Plan]:
    breaker = {"open_s": open_s, "consecutive_faults": OPENS_AFTER, "successes_to_close": CLOSES_AFTER}
    settings = place.settings(base_url, breaker=breaker, max_wait_s=1)
    return [Plan(settings, {"calls": CALLERS}, pause_s=0.05, **changes)] * PROCESSES


def _open_the_breaker(place: Place) -> None:
    """A thousand requests to a dead provider, while no probe is let through."""
    with start_provider(DEAD) as provider:
        with crowd(
            _plans(place, provider.base_url, open_s=3600, calls=CALLS // PROCESSES), apart=place.apart
        ) as callers:
            callers.begin()
            told = callers.told()
        requests = provider.counts()["requests"]
    assert sum(sum(each.ends.values()) for each in told) == CALLS
    assert {breaker for each in told for breaker in each.breakers.values()} == {"open"}
    # Each caller has one request under way at most when the fault comes in that opens the breaker.
    assert OPENS_AFTER <= requests <= OPENS_AFTER + PROCESSES * CALLERS
    assert len(read_attempts(place.ledger)) == requests
    assert sum(each.ends.get("circuit_open", 0) for each in told) >= CALLS - requests


def _assert_one_at_a_time(visits: Sequence[Visit], pause_s: float = 0.0) -> None:
    for earlier, later in itertools.pairwise(visits):
        assert later.received_at >= earlier.answered_at + pause_s


def test_a_dead_provider_is_probed_one_at_a_time_and_comes_back_for_all(place: Place) -> None:
    _open_the_breaker(place)
    with (
        start_provider(DEAD) as provider,
        crowd(_plans(place, provider.base_url, open_s=OPEN_S), apart=place.apart) as callers,
    ):
        callers.begin()
        # The breaker was open before: whatever arrives is a probe.
        wait_until(lambda: provider.counts()["requests"] >= CLOSES_AFTER, "probes")
        _assert_one_at_a_time(sorted(provider.visits()), OPEN_S)
        assert provider.counts()["peak_running"] == 1

        provider.behave(Behaviour(latency_s=1.0))
        wait_until(lambda: provider.counts()["billed"] > 20 * PROCESSES, "answers")
        callers.stop()
        told = callers.told()
        visits = sorted(provider.visits())
    answered = [visit for visit in visits if visit.status == 200]
    closed_at = answered[CLOSES_AFTER - 1].answered_at
    _assert_one_at_a_time([visit for visit in visits if visit.received_at < closed_at])
    first, second = answered[CLOSES_AFTER : CLOSES_AFTER + 2]
    assert second.received_at < first.answered_at, "there were probes after the breaker should have closed"
    for each in told:
        assert each.breakers == {"openai/m": "closed"}
        assert each.ends["ok"] > 0
        assert each.last == "ok"
