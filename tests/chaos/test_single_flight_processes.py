"""A thousand identical requests over four processes cost one provider call, or two when the first is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chaos.chaos_worker import Plan
from chaos.crowd import crowd, shared_settings, wait_until

from benchmarks.meter import Behaviour
from benchmarks.provider import start_provider
from benchmarks.stores import Store

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
PROCESSES, EACH = 4, 250


def _plans(folder: Path, store: Store, base_url: str, **changes: Any) -> list[Plan]:
    settings = shared_settings(folder, store.url, base_url, **changes)
    return [Plan(settings, {"same": EACH}, calls=EACH, same=True)] * PROCESSES


def test_a_thousand_identical_requests_make_one_provider_call(tmp_path: Path, store: Store) -> None:
    with start_provider(Behaviour(latency_s=1.0)) as provider:
        with crowd(_plans(tmp_path, store, provider.base_url)) as callers:
            callers.begin()
            ends = callers.ends()
        assert ends == {"ok": 1, "cached": PROCESSES * EACH - 1}
        assert provider.counts()["requests"] == 1


def test_when_the_leader_is_killed_one_other_leads(tmp_path: Path, store: Store) -> None:
    # On a server the dead show by their silence alone, so the lease is what the others wait for. The first request is
    # not answered before its maker is gone.
    with start_provider(Behaviour(latency_s=3600.0)) as provider:
        with crowd(_plans(tmp_path, store, provider.base_url, lease_s=10)) as callers:
            callers.begin()
            wait_until(lambda: provider.counts()["requests"] > 0, "the leader's request")
            (leader,) = store.leaders()
            callers.kill(leader)
            provider.behave(Behaviour(latency_s=0.5))
            ends = callers.ends()
        assert ends == {"ok": 1, "cached": (PROCESSES - 1) * EACH - 1}
        assert provider.counts()["requests"] == 2
