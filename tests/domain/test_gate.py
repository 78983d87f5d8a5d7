from __future__ import annotations

import json

import numpy as np
import pytest

from domain.errors import InputError
from domain.gate import ArmResults, GateDecision, GateRule, decide
from domain.statistics.alpha_spending import alpha_for_look

NANO = 1_000_000


def arm(scores: list[float], cost: float = 1.0, latency: float = 1.0) -> ArmResults:
    """Costs and latencies vary by row, alike in every arm, around the ones given."""
    variation = [1 + 0.2 * (position % 5 - 2) for position in range(len(scores))]
    return ArmResults(
        scores=scores,
        costs=[round(NANO * cost * factor) for factor in variation],
        latencies=[latency * factor for factor in variation],
    )


WORSE = [1.0] * 60 + [0.0] * 40
BETTER = [1.0] * 75 + [0.0] * 25
CHEAPER_TOO = GateRule(non_inferiority_margin=0.05)


def test_a_significant_gain_is_promoted() -> None:
    found = decide(GateRule(), arm(BETTER), arm(WORSE), look=1)
    assert (found.verdict, found.route) == ("promote", "superior")
    assert found.comparison.p_value == 2**-15
    assert found.reason == (
        "The candidate scores 0.750 against production's 0.600 on 100 rows: +0.150 (95% interval +0.077 to +0.222). "
        "It is better: p = 3.052e-05 ≤ 0.0304 at look 1."
    )


def test_a_gain_that_may_be_noise_is_rejected_with_what_the_rows_could_have_shown() -> None:
    found = decide(GateRule(), arm([*[1.0] * 64, *[0.0] * 36]), arm(WORSE), look=1)
    assert (found.verdict, found.route) == ("reject", None)
    assert "That may be noise: p = 0.0625 > 0.0304 at look 1." in found.reason
    assert found.minimum_detectable_effect is not None
    assert f"would show a true gain of {found.minimum_detectable_effect:.3f} four times in five" in found.reason


def test_a_significant_loss_is_rejected() -> None:
    assert decide(GateRule(), arm(WORSE), arm(BETTER), look=1).verdict == "reject"


def test_a_significant_gain_below_min_gain_is_rejected() -> None:
    found = decide(GateRule(min_gain=0.16), arm(BETTER), arm(WORSE), look=1)
    assert found.verdict == "reject"
    assert "significant, but below the smallest gain worth a promotion, 0.16" in found.reason


def test_a_gain_of_exactly_min_gain_is_enough() -> None:
    assert decide(GateRule(min_gain=0.15), arm(BETTER), arm(WORSE), look=1).verdict == "promote"


def test_later_looks_need_more() -> None:
    verdicts = [decide(GateRule(), arm(BETTER), arm(WORSE), look=look).verdict for look in (1, 30, 40)]
    assert verdicts == ["promote", "promote", "reject"]


def test_the_second_route_halves_what_each_may_spend() -> None:
    one, two = (decide(rule, arm(WORSE), arm(WORSE), look=3) for rule in (GateRule(), CHEAPER_TOO))
    assert one.alpha_spent == two.alpha_spent == alpha_for_look(0.05, 3)
    assert one.alpha_per_route == one.alpha_spent
    assert two.alpha_per_route == two.alpha_spent / 2
    assert (one.non_inferiority_p_value, one.saving_p_value) == (None, None)


LONG = [1.0] * 240 + [0.0] * 160


def test_not_worse_and_cheaper_is_promoted_where_the_rule_allows_it() -> None:
    found = decide(CHEAPER_TOO, arm(LONG, cost=0.6), arm(LONG), look=1)
    assert (found.verdict, found.route) == ("promote", "not_worse_and_cheaper")
    assert found.cost_ratio == pytest.approx(0.6)
    assert "It is not worse by 0.05 (p = 0.0001 ≤ 0.0152 at look 1) and cheaper by 5% or more" in found.reason
    assert decide(GateRule(), arm(LONG, cost=0.6), arm(LONG), look=1).verdict == "reject"


@pytest.mark.parametrize(
    ("candidate", "failing"),
    [
        (arm(LONG, cost=0.96), "saving_p_value"),
        (arm(LONG, cost=1.5), "saving_p_value"),
        (arm([*[1.0] * 222, *[0.0] * 178], cost=0.5), "non_inferiority_p_value"),
    ],
)
def test_both_halves_of_the_second_route_are_needed(candidate: ArmResults, failing: str) -> None:
    found = decide(CHEAPER_TOO, candidate, arm(LONG), look=1)
    assert found.verdict == "reject"
    assert getattr(found, failing) > found.alpha_per_route
    assert "Nor is it shown to be not worse by 0.05" in found.reason


def test_a_larger_min_saving_asks_for_more() -> None:
    rule = GateRule(non_inferiority_margin=0.05, min_saving=0.45)
    assert decide(rule, arm(LONG, cost=0.6), arm(LONG), look=1).verdict == "reject"


@pytest.mark.parametrize(
    ("rule", "candidate", "failure"),
    [
        (
            GateRule(max_cost_ratio=1.2),
            arm(BETTER, cost=1.3),
            "cost is 1.300 times production's, above the limit of 1.2",
        ),
        (
            GateRule(max_latency_ratio=2),
            arm(BETTER, latency=2.5),
            "median latency is 2.500 times production's, above the limit of 2",
        ),
    ],
)
def test_limits_hold_however_good_the_candidate_is(rule: GateRule, candidate: ArmResults, failure: str) -> None:
    found = decide(rule, candidate, arm(WORSE), look=1)
    assert (found.verdict, found.route) == ("reject", None)
    assert found.guardrail_failures == (failure,)
    assert found.reason.endswith(f"Refused: {failure}.")


def test_every_limit_passed_is_named() -> None:
    rule = GateRule(max_cost_ratio=1, max_latency_ratio=1, non_inferiority_margin=0.1)
    found = decide(rule, arm(BETTER, cost=2, latency=3), arm(WORSE), look=1)
    assert len(found.guardrail_failures) == 2


def test_a_limit_that_is_just_kept_does_not_refuse() -> None:
    rule = GateRule(max_cost_ratio=1, max_latency_ratio=1)
    assert decide(rule, arm(BETTER), arm(WORSE), look=1).verdict == "promote"


def test_a_candidate_that_costs_where_production_is_free_breaks_any_cost_limit() -> None:
    found = decide(GateRule(max_cost_ratio=100), arm(BETTER), arm(WORSE, cost=0), look=1)
    assert found.cost_ratio is None
    assert "infinitely many times production's" in found.reason
    assert decide(GateRule(max_cost_ratio=1), arm(BETTER, cost=0), arm(WORSE, cost=0), look=1).verdict == "promote"


def test_graded_scores_go_through_the_same_gate() -> None:
    production = list(np.random.default_rng(0).uniform(0, 0.8, 60))
    candidate = [score + 0.02 + 0.01 * (position % 9) for position, score in enumerate(production)]
    found = decide(CHEAPER_TOO, arm(candidate), arm(production), look=12)
    assert (found.verdict, found.route) == ("promote", "superior")
    assert found.comparison.method == "permutation+bca"
    assert found.comparison.p_value < found.alpha_per_route < 1e-3 * 0.2


def test_one_row_decides_nothing_and_says_so() -> None:
    found = decide(CHEAPER_TOO, arm([1.0], cost=0.1), arm([0.0]), look=1)
    assert found.verdict == "reject"
    assert found.minimum_detectable_effect is None
    assert found.reason.endswith("So few rows can show no gain at all.")


@pytest.mark.parametrize("candidate", [arm(BETTER), arm([0.25, 0.5, 0.75, 1.0] * 25, cost=0.5), arm(WORSE, cost=0.2)])
def test_a_decision_is_json_and_the_same_every_time(candidate: ArmResults) -> None:
    one, two = (decide(CHEAPER_TOO, candidate, arm(WORSE, cost=0), look=2) for _ in range(2))
    assert one == two
    read = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert read["comparison"]["n"] == 100
    assert set(read) == set(GateDecision.__slots__)


@pytest.mark.parametrize(
    ("candidate", "production", "field"),
    [
        (ArmResults([], [], []), ArmResults([], [], []), "candidate.costs"),
        (arm(WORSE), arm(WORSE[1:]), "production.scores"),
        (ArmResults([1.0], [1, 2], [1.0]), arm([1.0]), "candidate.costs"),
        (ArmResults([1.0], [1], [1.0, 2.0]), arm([1.0]), "candidate.latencies"),
        (arm([1.0]), ArmResults([1.0], [1, 1], [1.0]), "production.costs"),
        (ArmResults([1.0], [-1], [1.0]), arm([1.0]), "candidate.costs"),
        (arm([1.0]), ArmResults([1.0], [1], [float("nan")]), "production.latencies"),
        (arm([1.5]), arm([1.0]), "candidate"),
    ],
)
def test_results_that_cannot_be_paired_are_refused(candidate: ArmResults, production: ArmResults, field: str) -> None:
    with pytest.raises(InputError) as caught:
        decide(GateRule(), candidate, production, look=1)
    assert caught.value.field == field
    assert caught.value.mend


def test_looks_are_counted_from_1() -> None:
    with pytest.raises(InputError, match="count looks from 1"):
        decide(GateRule(), arm(BETTER), arm(WORSE), look=0)
