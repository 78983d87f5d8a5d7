from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from domain.errors import InputError
from domain.statistics.bounded_mean import bounded_mean_interval, mean_not_above_p_value
from domain.statistics.intervals import mean_interval

graded = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (7, 40), (333, 1_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_right_wrong_scores_get_wilsons_interval(right: int, n: int, confidence: float) -> None:
    found = mean_interval([1.0] * right + [0.0] * (n - right), confidence)
    low, high = proportion_confint(right, n, alpha=1 - confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert (found.mean, found.n, found.method) == (right / n, n, "wilson")


def test_graded_scores_get_scipys_bca_bootstrap() -> None:
    scores = np.random.default_rng(4).beta(2, 5, 60)
    found = mean_interval(list(scores), 0.9, seed=3)
    reference = stats.bootstrap(
        (scores,), np.mean, confidence_level=0.9, n_resamples=9_999, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert found.method == "bca"


def test_many_graded_scores_get_students_interval() -> None:
    scores = np.random.default_rng(5).beta(2, 5, 2_001)
    found = mean_interval(list(scores))
    low, high = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.method == "t"


@pytest.mark.parametrize("scores", [[0.4], [0.5] * 30, [0.2, 0.3, 0.9], [0.7, 0.7 + 1e-12] * 10])
def test_few_or_equal_scores_get_an_interval_that_admits_it(scores: list[float]) -> None:
    found = mean_interval(scores)
    assert found.method == "bounded"
    assert found.low < min(scores)
    assert found.high - found.low > 0.1


def test_one_score_says_next_to_nothing() -> None:
    found = mean_interval([0.5])
    assert found.low < 0.02
    assert found.high > 0.98


@given(graded, st.sampled_from([0.8, 0.95]))
def test_intervals_hold_their_mean_and_stay_between_0_and_1(scores: list[float], confidence: float) -> None:
    found = mean_interval(scores, confidence)
    assert 0 <= found.low <= found.mean <= found.high <= 1


@given(graded)
def test_same_scores_and_seed_give_the_same_interval(scores: list[float]) -> None:
    assert mean_interval(scores, seed=7) == mean_interval(scores, seed=7)


def test_more_confidence_is_wider_and_more_rows_narrower() -> None:
    scores = list(np.random.default_rng(1).beta(2, 2, 40))
    width = {c: mean_interval(scores, c).high - mean_interval(scores, c).low for c in (0.8, 0.95, 0.99)}
    more = mean_interval(scores * 4)
    assert width[0.8] < width[0.95] < width[0.99]
    assert more.high - more.low < width[0.95]


@pytest.mark.parametrize("size", [5, 40])
def test_intervals_of_skewed_scores_hold_the_true_mean_as_often_as_they_say(size: int) -> None:
    random = np.random.default_rng(11)
    trials = 150
    held = 0
    for seed in range(trials):
        found = mean_interval(list(random.beta(0.6, 1.8, size)), seed=seed)
        held += found.low <= 0.25 <= found.high
    assert stats.binomtest(held, trials, 0.9, alternative="less").pvalue > 0.001


@pytest.mark.parametrize(
    ("scores", "problem"),
    [([], "no score"), ([0.5, 1.2], "1.2 of row 2"), ([-0.1], "-0.1 of row 1"), ([0.1, float("nan")], "nan of row 2")],
)
def test_scores_that_are_none_are_refused(scores: list[float], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        mean_interval(scores)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(InputError, match="confidence"):
        mean_interval([0.5], confidence)


@pytest.mark.parametrize(("right", "n"), [(0, 20), (3, 20), (17, 20), (60, 200)])
def test_the_bounded_interval_of_right_wrong_values_is_clopper_pearsons(right: int, n: int) -> None:
    values = np.array([1.0] * right + [0.0] * (n - right))
    found = bounded_mean_interval(values, 0.0, 1.0, 0.9, resamples=40_000, seed=0)
    exact = stats.binomtest(right, n).proportion_ci(0.9, method="exact")
    assert found == pytest.approx((exact.low, exact.high), abs=0.004)


@pytest.mark.parametrize(("right", "n", "share"), [(18, 20, 0.7), (20, 20, 0.9), (5, 50, 0.1)])
def test_the_bounded_p_value_of_right_wrong_values_is_the_binomial_tests(right: int, n: int, share: float) -> None:
    values = np.array([1.0] * right + [0.0] * (n - right))
    found = mean_not_above_p_value(values, share, 0.0, resamples=40_000, seed=0)
    assert found == pytest.approx(stats.binomtest(right, n, share, alternative="greater").pvalue, abs=0.01)
