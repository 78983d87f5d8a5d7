from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import stats

from domain.errors import InputError
from domain.statistics.non_inferiority import non_inferiority_p_value

MARGIN = 0.05
TRIALS = int(os.environ.get("PROMPTORY_GATE_TRIALS", "40"))


def p_value(differences: np.ndarray, seed: int = 0) -> float:
    """With scores whose differences are `differences`."""
    return non_inferiority_p_value(
        list(np.maximum(differences, 0)), list(np.maximum(-differences, 0)), MARGIN, resamples=1_999, seed=seed
    )


def losses_only(random: np.random.Generator, n: int) -> np.ndarray:
    return -1.0 * (random.random(n) < MARGIN)


def wins_and_losses(random: np.random.Generator, n: int) -> np.ndarray:
    return random.choice([1.0, -1.0, 0.0], n, p=[0.1, 0.1 + MARGIN, 0.8 - MARGIN])


def graded(random: np.random.Generator, n: int) -> np.ndarray:
    return random.beta(19 * (1 - MARGIN), 19 * (1 + MARGIN), n) * 2 - 1


def rare_graded_losses(random: np.random.Generator, n: int) -> np.ndarray:
    return -random.random(n) * (random.random(n) < 2 * MARGIN)


@pytest.mark.parametrize("draw", [losses_only, wins_and_losses, graded, rare_graded_losses])
@pytest.mark.parametrize("n", [20, 90])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_a_true_loss_equal_to_the_margin_passes_with_probability_alpha_at_most(draw, n: int, alpha: float) -> None:
    random = np.random.default_rng(n)
    trials = 200
    passed = sum(p_value(draw(random, n), seed) <= alpha for seed in range(trials))
    assert stats.binomtest(passed, trials, alpha, alternative="greater").pvalue > 0.001


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("draw", [losses_only, wins_and_losses, graded, rare_graded_losses])
def test_a_true_loss_equal_to_the_margin_passes_no_more_often_than_alpha_at_full_scale(draw) -> None:
    random, alpha = np.random.default_rng(11), 0.05
    passed = sum(p_value(draw(random, 150), seed) <= alpha for seed in range(TRIALS))
    assert stats.binomtest(passed, TRIALS, alpha, alternative="greater").pvalue > 0.001


def test_enough_rows_show_that_an_equal_candidate_is_not_worse() -> None:
    random = np.random.default_rng(3)
    passed = sum(p_value(random.choice([1.0, -1.0, 0.0], 400, p=[0.04, 0.04, 0.92])) <= 0.05 for _ in range(50))
    assert passed >= 45


def test_few_rows_without_a_loss_are_no_proof() -> None:
    assert p_value(np.zeros(50)) == pytest.approx((1 - MARGIN) ** 50, abs=0.02)
    assert p_value(np.zeros(200)) < 0.001


def test_a_wider_margin_is_easier() -> None:
    ours, theirs = [1.0] * 80 + [0.0] * 20, [1.0] * 82 + [0.0] * 18
    narrow, wide = (non_inferiority_p_value(ours, theirs, margin) for margin in (0.03, 0.15))
    assert wide < 0.01 < narrow


def test_same_input_same_p_value() -> None:
    assert p_value(np.full(30, 0.1)) == p_value(np.full(30, 0.1))


@pytest.mark.parametrize("margin", [0, 1, -0.1, float("nan")])
def test_an_impossible_margin_is_refused(margin: float) -> None:
    with pytest.raises(InputError, match="margin"):
        non_inferiority_p_value([1], [1], margin)


def test_unpaired_scores_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be paired"):
        non_inferiority_p_value([1, 1], [1], MARGIN)
