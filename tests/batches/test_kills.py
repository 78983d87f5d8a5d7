"""SIGKILL at durable writes and at any time: no row lost, none twice, the invoice is the ledger."""

from __future__ import annotations

import os

import pytest

from benchmarks.batch_kills import run_kills
from benchmarks.stores import STATES

KILLS = max(2, int(os.environ.get("PROMPTORY_KILLS", "6")) // len(STATES))
# A kill that comes too late for its batch is no failure; the harness tries some more.
ENOUGH = 0.8


@pytest.mark.slow
@pytest.mark.timeout(300 + 20 * KILLS)
@pytest.mark.parametrize("state", STATES)
def test_killed_batches_lose_nothing_and_pay_once(state: str):
    sessions = run_kills(KILLS, seed=1 + STATES.index(state), state=state)

    assert [problem for session in sessions for problem in session.problems] == []
    assert sum(sum(session.killed.values()) for session in sessions) >= ENOUGH * KILLS
    assert all(session.billed_twice <= session.repeats for session in sessions)
