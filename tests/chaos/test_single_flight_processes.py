"""A thousand identical requests over four processes cost one provider call, or two when the first is lost."""

from __future__ import annotations

from typing import Any

import pytest
from chaos.chaos_worker import Plan
from chaos.crowd import Place, crowd, wait_until

from benchmarks.meter import Behaviour
from benchmarks.provider import start_provider

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
PROCESSES, EACH = 4, 250


def _plans(place: Place, base_url: str, **changes: Any) -> list[Plan]:
    settings = place.settings(base_url, **changes)
    return [Plan(settings, {"same": EACH}, calls=EACH, same=True)] * PROCESSES


def test_a_thousand_identical_requests_make_one_provider_call(place: Place) -> None:
    with start_provider(Behaviour(latency_s=1.0)) as provider:
        with crowd(_plans(place, provider.base_url), apart=place.apart) as callers:
            callers.begin()
            ends = callers.ends()
        assert ends == {"ok": 1, "cached": PROCESSES * EACH - 1}
        assert provider.counts()["requests"] == 1


def test_when_the_leader_is_killed_one_other_leads(place: Place) -> None:
    # On a server the dead show by their silence alone, so the lease is what the others wait for. The first request is
    # not answered before its maker is gone.
    with start_provider(Behaviour(latency_s=3600.0)) as provider:
        with crowd(_plans(place, provider.base_url, lease_s=10), apart=place.apart) as callers:
            callers.begin()
            wait_until(lambda: provider.counts()["requests"] > 0, "the leader's request")
            callers.kill_leader(place.store)
            provider.behave(Behaviour(latency_s=0.5))
            ends = callers.ends()
        assert ends == {"ok": 1, "cached": (PROCESSES - 1) * EACH - 1}
        assert provider.counts()["requests"] == 2
