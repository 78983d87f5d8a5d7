"""The gate against arms that deserve no promotion: how often it is fooled.

`PROMPTORY_GATE_TRIALS=2000` runs the slow ones at full scale.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from domain.gate import ArmResults, GateRule, decide
from domain.statistics.alpha_spending import alpha_for_look

TRIALS = int(os.environ.get("PROMPTORY_GATE_TRIALS", "40"))
ROWS = 60
ALPHA = 0.2
RULE = GateRule(alpha=ALPHA, non_inferiority_margin=0.1)
Draw = Callable[[np.random.Generator], tuple[ArmResults, ArmResults]]


def results(random: np.random.Generator, scores: np.ndarray, cost: float = 1.0) -> ArmResults:
    return ArmResults(
        scores=[float(score) for score in scores],
        costs=[int(1e6 * cost * factor) for factor in random.lognormal(0, 0.4, scores.size)],
        latencies=[float(seconds) for seconds in random.lognormal(0, 0.5, scores.size)],
    )


def right_wrong(random: np.random.Generator) -> tuple[ArmResults, ArmResults]:
    """Rows differ in difficulty; both arms answer each with the same chance."""
    chance = random.beta(2, 1, ROWS)
    one, other = (results(random, random.random(ROWS) < chance) for _ in range(2))
    return one, other


def graded(random: np.random.Generator) -> tuple[ArmResults, ArmResults]:
    quality = random.beta(3, 2, ROWS)
    one, other = (results(random, np.clip(quality + random.normal(0, 0.1, ROWS), 0, 1)) for _ in range(2))
    return one, other


def cheaper_but_worse_by_the_margin(random: np.random.Generator) -> tuple[ArmResults, ArmResults]:
    """Right/wrong, with a true loss equal to the margin: 0.05 wins against 0.15 losses."""
    kind = random.choice(4, ROWS, p=[0.5, 0.05, 0.15, 0.3])
    return results(random, np.isin(kind, [0, 1]), cost=0.4), results(random, np.isin(kind, [0, 2]))


def cheaper_but_worse_by_the_margin_graded(random: np.random.Generator) -> tuple[ArmResults, ArmResults]:
    production = np.full(ROWS, 0.9)
    candidate = production - 0.4 * (random.random(ROWS) < 0.25)
    return results(random, candidate, cost=0.4), results(random, production)


def assert_at_most(promoted: int, trials: int, share: float) -> None:
    assert stats.binomtest(promoted, trials, share, alternative="greater").pvalue > 0.001


def assert_no_route_spends_more_than_its_part(draw: Draw, trials: int) -> None:
    random = np.random.default_rng(trials)
    routes = Counter(decide(RULE, *draw(random), 1, seed=seed).route for seed in range(trials))
    spent = alpha_for_look(ALPHA, 1)
    assert_at_most(routes["superior"], trials, spent / 2)
    assert_at_most(routes["not_worse_and_cheaper"], trials, spent / 2)
    assert_at_most(trials - routes[None], trials, spent)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coarser test is as valid; p-values come in steps of 1/400."""
    monkeypatch.setattr("domain.gate.RESAMPLES", 399)
    monkeypatch.setattr("domain.statistics.intervals.RESAMPLES", 399)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(
    ("draw", "trials"),
    [
        (right_wrong, 400),
        (graded, 200),
        (cheaper_but_worse_by_the_margin, 400),
        (cheaper_but_worse_by_the_margin_graded, 200),
    ],
)
def test_no_arm_that_deserves_none_is_promoted_more_often_than_its_look_may(draw: Draw, trials: int) -> None:
    assert_no_route_spends_more_than_its_part(draw, trials)


@pytest.mark.usefixtures("few_resamples")
def test_equal_arms_promote_with_no_more_than_alpha_over_many_looks() -> None:
    """A fresh candidate at each look at the same rows, production's answers fixed: any promotion is noise."""
    random, trials, fooled = np.random.default_rng(0), 40, 0
    for _ in range(trials):
        chance = random.beta(2, 1, ROWS)
        production = results(random, random.random(ROWS) < chance)
        fooled += any(
            decide(RULE, results(random, random.random(ROWS) < chance), production, look).verdict == "promote"
            for look in range(1, 6)
        )
    assert_at_most(fooled, trials, ALPHA)


@pytest.mark.usefixtures("few_resamples")
def test_a_gain_as_large_as_the_decision_calls_detectable_is_promoted_most_of_the_time() -> None:
    random, trials = np.random.default_rng(5), 100
    rule = GateRule(alpha=ALPHA)
    discordant, promoted = 0.3, 0
    gain = decide(rule, *_with_gain(random, discordant, 0.0), 1).minimum_detectable_effect
    assert gain is not None
    for _ in range(trials):
        promoted += decide(rule, *_with_gain(random, discordant, gain), 1).verdict == "promote"
    assert promoted >= 60


def _with_gain(random: np.random.Generator, discordant: float, gain: float) -> tuple[ArmResults, ArmResults]:
    wins, losses = (discordant + gain) / 2, (discordant - gain) / 2
    kind = random.choice(4, ROWS, p=[0.4, wins, losses, 0.6 - discordant])
    return results(random, np.isin(kind, [0, 1])), results(random, np.isin(kind, [0, 2]))


ALL_DRAWS = [right_wrong, graded, cheaper_but_worse_by_the_margin, cheaper_but_worse_by_the_margin_graded]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("draw", ALL_DRAWS)
def test_no_route_spends_more_than_its_part_at_full_resolution(draw: Draw) -> None:
    assert_no_route_spends_more_than_its_part(draw, TRIALS)


def noisy_scorer(random: np.random.Generator, kind: str) -> Callable[[], ArmResults]:
    """One prompt, evaluated as often as it is asked for: the answers are the same, the scorer is not."""
    quality = random.beta(3, 2, ROWS)

    def evaluate() -> ArmResults:
        if kind == "right_wrong":
            return results(random, random.random(ROWS) < quality)
        noise = random.normal(0, 0.15, ROWS)
        return results(random, np.clip(quality + noise, 0, 1) if kind == "graded" else np.round(quality + noise, 1) % 1)

    return evaluate


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("kind", ["right_wrong", "graded", "graded_with_ties"])
def test_a_prompt_against_itself_is_promoted_no_more_often_than_alpha_over_all_looks(kind: str) -> None:
    """All routes open, five looks at the same rows; production's results stay, the candidate's are drawn anew."""
    random, fooled = np.random.default_rng(7), 0
    for trial in range(TRIALS):
        evaluate = noisy_scorer(random, kind)
        production = evaluate()
        looks = (decide(RULE, evaluate(), production, look, seed=trial) for look in range(1, 6))
        fooled += any(decision.verdict == "promote" for decision in looks)
    assert_at_most(fooled, TRIALS, ALPHA)
