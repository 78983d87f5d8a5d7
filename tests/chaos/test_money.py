"""A cap holds and the books agree while processes are killed, in time and at their durable writes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from benchmarks.money import Scale, run_money

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


def test_the_invoice_keeps_to_the_cap_and_the_books_agree() -> None:
    scale = Scale(processes=3, tasks=25, kills=12, cap_usd=Decimal("0.03"), patience_s=100)
    outcome = run_money(scale)
    assert outcome.problems == [], str(outcome)
    assert sum(outcome.kills.values()) == scale.kills
    assert any(how.startswith("state") for how in outcome.kills)
    assert outcome.calls > 1000
    assert outcome.ambiguous > 0


def test_a_cap_that_moves_binds_within_a_second() -> None:
    caps = [Decimal("0.004"), Decimal("0.05"), Decimal("0.03")]
    scale = Scale(processes=2, tasks=25, kills=4, cap_usd=Decimal("0.02"), caps_usd=caps, seed=2, patience_s=100)
    outcome = run_money(scale)
    assert outcome.problems == [], str(outcome)
