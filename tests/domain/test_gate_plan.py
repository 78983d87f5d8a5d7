from __future__ import annotations

import json

import pytest

from domain.errors import InputError
from domain.gate import ArmResults, GateRule, decide
from domain.gate_plan import ASSUMED, Spread, plan_gate, rows_for_margin
from domain.statistics.non_inferiority import non_inferiority_p_value

SPREAD = Spread(0.17, None, "as v5 and v1 did on dev")


def test_a_plan_says_in_plain_words_what_the_split_can_see() -> None:
    plan = plan_gate(GateRule(), 379, 1, SPREAD)
    assert plan.detectable is not None
    gain, spread = plan.sentences
    assert gain == (
        f"This test split of 379 rows can only see gains above {100 * plan.detectable:.1f} points: at look 1 "
        "(α = 0.0304) a smaller true gain is missed more than once in five."
    )
    assert spread == "That takes the prompts to differ on 17 % of the rows (as v5 and v1 did on dev)."
    assert json.loads(json.dumps(plan.as_dict()))["look"] == 1


def test_a_plan_is_what_the_decision_will_find() -> None:
    """The same figure that `decide` gives afterwards for scores with that discordance."""
    scores = [1.0] * 10 + [0.0] * 90
    candidate = [1.0] * 20 + [0.0] * 80
    found = decide(GateRule(), _arm(candidate), _arm(scores), 3)
    assert plan_gate(GateRule(), 100, 3, Spread(0.1, None, "x")).detectable == found.minimum_detectable_effect


def _arm(scores: list[float]) -> ArmResults:
    return ArmResults(scores, [1] * len(scores), [1.0] * len(scores))


def test_later_looks_and_fewer_rows_see_less_and_graded_scores_have_a_plan_too() -> None:
    seen = [plan_gate(GateRule(), rows, look, SPREAD).detectable for rows, look in ((1_000, 1), (379, 1), (379, 4))]
    assert None not in seen
    assert seen == sorted(seen)  # type: ignore[type-var]
    graded = plan_gate(GateRule(), 379, 1, Spread(None, 0.25, "x"))
    assert graded.detectable is not None
    assert "standard deviation of 0.25" in graded.sentences[1]


def test_a_split_too_small_says_so() -> None:
    plan = plan_gate(GateRule(), 3, 1)
    assert plan.detectable is None
    assert plan.sentences[0] == "This test split of 3 rows can show no gain at all at look 1 (α = 0.0304)."
    assert (plan.spread, "an assumption" in plan.sentences[1]) == (ASSUMED, True)


@pytest.mark.parametrize(("margin", "alpha"), [(0.01, 0.0152), (0.05, 0.02), (0.2, 0.05)])
def test_rows_without_a_loss_prove_not_worse_from_that_number_on(margin: float, alpha: float) -> None:
    needed = rows_for_margin(margin, alpha)
    assert (1 - margin) ** needed <= alpha < (1 - margin) ** (needed - 1)
    enough = [0.5] * round(1.3 * needed)
    few = [0.5] * round(0.7 * needed)
    assert non_inferiority_p_value(enough, enough, margin) <= alpha
    assert non_inferiority_p_value(few, few, margin) > alpha


def test_a_margin_is_planned_for() -> None:
    rule = GateRule(non_inferiority_margin=0.01)
    small, large = (plan_gate(rule, rows, 1, SPREAD) for rows in (300, 1_000))
    assert small.rows_for_margin == large.rows_for_margin == rows_for_margin(0.01, small.alpha_per_route)
    assert "with these 300 it cannot be shown" in small.sentences[2]
    assert large.sentences[2].endswith("without a loss, more with some.")


@pytest.mark.parametrize(("rows", "look"), [(0, 1), (10, 0)])
def test_impossible_plans_are_refused(rows: int, look: int) -> None:
    with pytest.raises(InputError):
        plan_gate(GateRule(), rows, look)
