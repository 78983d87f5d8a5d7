"""SIGKILL at durable writes and at any time: no row lost, none twice, the invoice is the ledger."""

from __future__ import annotations

import os

import pytest

from benchmarks.batch_kills import run_kills

KILLS = int(os.environ.get("PROMPTORY_KILLS", "6"))
# A kill that comes too late for its batch is no failure; the harness tries some more.
ENOUGH = 0.8


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * KILLS)
def test_killed_batches_lose_nothing_and_pay_once():
    sessions = run_kills(KILLS)

    assert [problem for session in sessions for problem in session.problems] == []
    assert sum(sum(session.killed.values()) for session in sessions) >= ENOUGH * KILLS
    assert all(session.billed_twice <= session.repeats for session in sessions)
