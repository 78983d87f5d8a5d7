from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from domain.errors import InputError
from domain.statistics.saving import median_ratio, saving_p_value, total_ratio

SAVING = 0.05


def skewed_candidate(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return (1 - SAVING) * random.lognormal(-0.5, 1, n), np.ones(n)


def skewed_production(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(n, 1 - SAVING), random.lognormal(-0.5, 1, n)


def same_rows(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    base = random.lognormal(0, 1, n)
    return (1 - SAVING) * base * random.lognormal(-0.005, 0.1, n), base


@pytest.mark.parametrize("draw", [skewed_candidate, skewed_production, same_rows])
@pytest.mark.parametrize("n", [30, 100])
def test_a_true_saving_at_the_limit_passes_with_probability_alpha_at_most(draw, n: int) -> None:
    random = np.random.default_rng(n)
    trials, alpha = 200, 0.05
    passed = sum(
        saving_p_value(*map(list, draw(random, n)), SAVING, resamples=999, seed=seed) <= alpha for seed in range(trials)
    )
    assert stats.binomtest(passed, trials, alpha, alternative="greater").pvalue > 0.001


def test_a_third_off_is_seen_on_a_hundred_rows() -> None:
    random = np.random.default_rng(1)
    base = random.lognormal(0, 0.5, 100)
    costs = (base * 0.67 * random.lognormal(0, 0.2, 100), base)
    assert saving_p_value(*map(list, costs), SAVING) < 0.001


def test_equal_or_dearer_is_no_saving() -> None:
    costs = [5.0, 6.0, 7.0] * 40
    assert saving_p_value(costs, costs, SAVING) == 1
    assert saving_p_value([2 * cost for cost in costs], costs, SAVING) == 1


def test_the_unit_of_the_costs_does_not_matter() -> None:
    ours, theirs = [3.0, 4.0, 2.0] * 10, [5.0, 4.0, 6.0] * 10
    nano = ([cost * 1e6 for cost in ours], [cost * 1e6 for cost in theirs])
    assert saving_p_value(*nano, SAVING) == pytest.approx(saving_p_value(ours, theirs, SAVING), abs=1e-4)


def test_two_free_arms_show_no_saving_and_a_free_candidate_does() -> None:
    assert saving_p_value([0] * 50, [0] * 50, SAVING) == 1
    assert saving_p_value([0] * 50, [9] * 50, SAVING) < 0.001


def test_a_few_rows_prove_nothing() -> None:
    assert saving_p_value([1], [2], SAVING) > 0.05


@pytest.mark.parametrize(
    ("ours", "theirs", "problem"),
    [
        ([], [], "no row"),
        ([1], [1, 2], "cannot be paired"),
        ([-1], [1], "-1.0 of row 1"),
        ([1], [float("inf")], "inf of row 1"),
        ([float("nan")], [1], "nan of row 1"),
    ],
)
def test_impossible_costs_are_refused(ours: list[float], theirs: list[float], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        saving_p_value(ours, theirs, SAVING)


@pytest.mark.parametrize("saving", [-0.1, 1, float("nan")])
def test_an_impossible_saving_is_refused(saving: float) -> None:
    with pytest.raises(InputError, match="min_saving"):
        saving_p_value([1], [1], saving)


def test_ratios() -> None:
    assert total_ratio([1, 2], [4, 2]) == 0.5
    assert median_ratio([1, 9, 2], [4, 4, 400]) == 0.5
    assert total_ratio([0], [0]) == median_ratio([0], [0]) == 1
    assert total_ratio([1], [0]) is None
