"""A cap holds and the books agree while processes are killed, in time and at their durable writes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from benchmarks.kill_points import POINTS
from benchmarks.machines import can_isolate
from benchmarks.money import CHANGES
from benchmarks.money_run import Scale, run_money
from benchmarks.stores import STATES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
SMALL = Scale(
    processes=4, tasks=20, kills=6, cap_usd=Decimal("0.06"), lease_s=3.0, pause_s=(0.3, 1.5), patience_s=240.0
)


@pytest.mark.parametrize("state", STATES)
def test_the_invoice_keeps_to_the_cap_and_the_books_agree(state: str) -> None:
    outcome = run_money(replace(SMALL, state=state))
    assert outcome.problems == [], str(outcome)
    assert outcome.kills == {**dict.fromkeys(POINTS, 1), "at random": SMALL.kills}
    assert outcome.billed > 1000
    assert {doubt.billed is None for doubt in outcome.doubts} == {True, False}


@pytest.mark.parametrize("state", STATES)
def test_a_cap_that_moves_binds_within_a_second(state: str) -> None:
    outcome = run_money(replace(SMALL, state=state, sweeps=0, changes=CHANGES, seed=2))
    assert outcome.problems == [], str(outcome)
    lowered, raised, _ = outcome.cap_changes
    assert lowered.stops_all
    assert raised.used_then is not None
    assert raised.used_then > raised.spent_before, "nothing was spent of what it was raised by"


def test_the_same_harness_sees_litellm_overspend() -> None:
    """Each of its processes counts for itself. A harness that saw nothing here would see nothing at all."""
    pytest.importorskip("litellm")
    scale = replace(SMALL, processes=2, tasks=10, kills=0, sweeps=0, cap_usd=Decimal("0.001"), client="litellm")
    outcome = run_money(scale)
    (problem,) = outcome.problems
    assert f"the invoice is {outcome.invoice}, the cap 1000000: overspent by" in problem
    assert outcome.invoice > 1.3 * outcome.cap


@pytest.mark.skipif(not can_isolate(), reason="machines of their own need root and unshare")
def test_two_machines_of_one_name_on_postgres_and_redis(upgraded_postgres_url: str) -> None:
    """Host names and process ids are the same on both: who looked for the other's processes would find them dead."""
    scale = replace(SMALL, state="redis", ledger=upgraded_postgres_url, machines=2, seed=3)
    outcome = run_money(scale)
    assert outcome.problems == [], str(outcome)
    assert outcome.kills == {**dict.fromkeys(POINTS, 1), "at random": SMALL.kills}
    assert outcome.billed > 1000
