"""The whole analysis: who wins, what stops, and how often nothing is taken for something."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from experiments.designs import experiment, first, observations
from scipy import stats

from domain.experiment.analysis import analyse
from domain.experiment.observations import Epoch

FULL = 2_000
# The long harness runs at 1/50 of its scale; PROMPTORY_AA_TRIALS=2000 runs all of it.
TRIALS = int(os.environ.get("PROMPTORY_AA_TRIALS", FULL // 50))
GUARDED = {"guardrails": {"max_cost_ratio": 1.3, "max_latency_ratio": 1.3}}


def test_a_better_variant_wins_and_the_reason_has_its_figures() -> None:
    report = analyse(experiment(**GUARDED), observations(np.random.default_rng(1), 3_000, (0.5, 0.65)))
    [found] = report.comparisons
    assert (report.verdict.kind, report.verdict.variant) == ("winner", "shorter")
    assert f"{found.gain:+.3f}" in report.verdict.reason
    assert found.low > 0
    assert found.p_value < 0.05
    assert report.arm("shorter").low < report.arm("shorter").mean < report.arm("shorter").high
    assert [point.units for point in found.path] == sorted({point.units for point in found.path})
    assert found.path[-1].units == found.units == 3_000
    json.dumps(report.as_dict(), allow_nan=False)


def test_the_p_value_is_below_alpha_where_zero_lies_outside_the_interval() -> None:
    random, decided = np.random.default_rng(2), 0
    for _ in range(20):
        seen = observations(random, 900, (0.5, 0.65, 0.6))
        for found in analyse(experiment(3), seen, points=5).comparisons:
            outside = found.low > 0 or found.high < 0
            decided += outside
            assert (found.p_value <= 0.05) == outside
    assert decided > 5


def test_the_best_of_several_winners_wins() -> None:
    report = analyse(experiment(3), observations(np.random.default_rng(3), 6_000, (0.4, 0.6, 0.75)))
    assert report.verdict.variant == "warmer"
    assert {one.variant for one in report.comparisons if one.low > 0} == {"shorter", "warmer"}
    assert report.comparisons[0].confidence == 0.975


def test_nothing_is_decided_before_the_minimal_sample() -> None:
    seen = observations(np.random.default_rng(4), 400, (0.1, 0.9))
    report = analyse(experiment(min_units=300), seen)
    assert report.verdict.kind == "continue"
    assert "300 analysed units per variant are wanted" in report.verdict.reason
    assert analyse(experiment(min_units=100), seen).verdict.kind == "winner"


def test_a_gain_below_the_smallest_worth_a_promotion_is_no_winner() -> None:
    report = analyse(experiment(min_gain=0.3), observations(np.random.default_rng(5), 2_000, (0.5, 0.65)))
    assert report.verdict.kind == "futility"
    assert "by 0.3 or more" in report.verdict.reason


def test_a_worse_variant_is_given_up() -> None:
    report = analyse(experiment(), observations(np.random.default_rng(6), 2_000, (0.6, 0.4)))
    assert (report.verdict.kind, report.verdict.variant) == ("futility", None)


def test_an_undecided_experiment_ends_at_its_size() -> None:
    seen = observations(np.random.default_rng(7), 1_000, (0.5, 0.5))
    assert analyse(experiment(max_units=1_000), seen).verdict.kind == "futility"
    assert analyse(experiment(max_units=1_001), seen).verdict.kind == "continue"


@pytest.mark.parametrize("amount", ["costs", "latencies"])
def test_a_broken_guardrail_stops_even_a_winner(amount: str) -> None:
    seen = observations(np.random.default_rng(8), 4_000, (0.5, 0.7), **{amount: (1.0, 1.9)})
    verdict = analyse(experiment(**GUARDED), seen).verdict
    assert (verdict.kind, verdict.variant) == ("guardrail", "shorter")
    assert ("cost" if amount == "costs" else "latency") in verdict.reason
    assert analyse(experiment(), seen).verdict.kind == "winner"


def test_a_ratio_above_its_limit_as_observed_is_enough_to_hold_a_winner_back() -> None:
    seen = observations(np.random.default_rng(9), 1_000, (0.3, 0.7), costs=(1.0, 1.4))
    report = analyse(experiment(**GUARDED), seen)
    assert report.comparisons[0].cost is not None
    assert not report.comparisons[0].cost.broken
    assert report.verdict.kind == "continue"
    assert "cost ratio of shorter is 1." in report.verdict.reason


def test_free_answers_have_no_ratio() -> None:
    seen = observations(np.random.default_rng(10), 500, (0.5, 0.5))
    report = analyse(experiment(**GUARDED), replace(seen, cost=np.zeros(500)))
    assert report.comparisons[0].cost is None
    assert report.arms[0].mean_cost_nano_usd == 0


def test_a_mismatch_of_units_keeps_a_winner_from_being_named() -> None:
    seen = observations(np.random.default_rng(11), 3_000, (0.5, 0.8))
    verdict = analyse(experiment(), replace(seen, epochs=(Epoch((0.5, 0.5), (1_700, 1_300)),))).verdict
    assert verdict.kind == "mismatch"
    assert "cannot be trusted" in verdict.reason


def test_units_without_outcome_are_left_out_of_the_gain_and_kept_in_the_cost() -> None:
    seen = observations(np.random.default_rng(12), 1_000, (0.5, 0.5))
    outcome = np.where(np.arange(1_000) % 2, seen.outcome, np.nan)
    report = analyse(experiment(), replace(seen, outcome=outcome))
    assert report.analysed == report.comparisons[0].units == 500
    assert report.comparisons[0].cost is not None
    assert report.comparisons[0].cost.units == 1_000


@pytest.mark.parametrize("units", [0, 1, 2, 49, 51])
def test_few_units_make_a_report_that_says_so(units: int) -> None:
    report = analyse(experiment(), observations(np.random.default_rng(units), units, (0.5, 0.5)))
    assert report.verdict.kind == "continue"
    assert report.comparisons[0].low <= (report.comparisons[0].gain or 0) <= report.comparisons[0].high
    json.dumps(report.as_dict(), allow_nan=False)


def false_winner(random: np.random.Generator, units: int, looks: int) -> bool:
    """One A/A/A experiment with drifting outcomes, looked at `looks` times: is a winner named at any look?"""
    seen = observations(random, units, (0.4, 0.4, 0.4), drift=0.2)
    spec = experiment(3, min_units=20, **GUARDED)
    return any(
        analyse(spec, first(seen, int(n)), points=1).verdict.kind == "winner"
        for n in np.linspace(60, units, looks).astype(int)
    )


def assert_at_most(wrong: int, trials: int, share: float) -> None:
    assert stats.binomtest(wrong, trials, share, alternative="greater").pvalue > 0.001


def test_equal_variants_are_seldom_told_apart() -> None:
    random = np.random.default_rng(13)
    assert_at_most(sum(false_winner(random, 600, 4) for _ in range(40)), 40, 0.05)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_equal_variants_under_continuous_peeking() -> None:
    random = np.random.default_rng(14)
    assert_at_most(sum(false_winner(random, 2_000, 25) for _ in range(TRIALS)), TRIALS, 0.05)


def test_equal_costs_seldom_break_a_guardrail_at_any_look() -> None:
    random, wrong = np.random.default_rng(15), 0
    spec = experiment(guardrails={"max_cost_ratio": 1.0})
    for _ in range(40):
        seen = observations(random, 800, (0.5, 0.5))
        wrong += any(analyse(spec, first(seen, n), points=1).verdict.kind == "guardrail" for n in range(200, 801, 200))
    assert_at_most(wrong, 40, 0.05)
