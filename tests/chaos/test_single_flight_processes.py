"""A thousand identical requests over four processes cost one provider call, or two when the first is lost."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from chaos.chaos_worker import Plan
from chaos.crowd import crowd, shared_settings

from benchmarks.provider import Behaviour, ProviderProcess, start_provider

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]
PROCESSES, EACH = 4, 250


def _plan(folder: Path, base_url: str) -> Plan:
    return Plan(shared_settings(folder, base_url), calls=EACH, callers=EACH, same=True)


def _leader(state: Path, provider: ProviderProcess) -> int:
    """The process id of who leads, once its request has arrived."""
    deadline = time.monotonic() + 30
    while not provider.counts()["requests"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    connection = sqlite3.connect(state)
    try:
        ((pid,),) = connection.execute("SELECT pid FROM cache_leads JOIN owners USING (owner)").fetchall()
    finally:
        connection.close()
    return pid


def test_a_thousand_identical_requests_make_one_provider_call(tmp_path: Path) -> None:
    with start_provider(Behaviour(latency_s=1.0)) as provider:
        with crowd(PROCESSES, _plan(tmp_path, provider.base_url)) as callers:
            callers.begin()
            ends = callers.ends()
        assert ends == {"ok": 1, "cached": PROCESSES * EACH - 1}
        assert provider.counts()["requests"] == 1


def test_when_the_leader_is_killed_one_other_leads(tmp_path: Path) -> None:
    with start_provider(Behaviour(latency_s=1.5)) as provider:
        with crowd(PROCESSES, _plan(tmp_path, provider.base_url)) as callers:
            callers.begin()
            callers.kill(_leader(tmp_path / "state.db", provider))
            ends = callers.ends()
        assert ends == {"ok": 1, "cached": (PROCESSES - 1) * EACH - 1}
        assert provider.counts()["requests"] == 2
