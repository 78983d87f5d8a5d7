from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from domain.errors import InputError
from domain.statistics.newcombe import newcombe_interval
from domain.statistics.paired import PairedComparison, compare_paired
from domain.statistics.sign_flip import sign_flip_p_value


def table(both: int, wins: int, losses: int, neither: int) -> tuple[list[float], list[float]]:
    candidate = [1.0] * (both + wins) + [0.0] * (losses + neither)
    production = [1.0] * both + [0.0] * wins + [1.0] * losses + [0.0] * neither
    return candidate, production


cells = st.tuples(*[st.integers(0, 12)] * 4).filter(any)


@given(cells)
def test_right_wrong_scores_get_the_exact_mcnemar_test(counts: tuple[int, int, int, int]) -> None:
    both, wins, losses, neither = counts
    found = compare_paired(*table(*counts))
    reference = mcnemar([[both, wins], [losses, neither]], exact=True).pvalue if wins + losses else 1.0
    assert found.p_value_two_sided == pytest.approx(reference)
    assert (found.wins, found.losses, found.ties) == (wins, losses, both + neither)
    assert found.discordant_rate == pytest.approx((wins + losses) / sum(counts))
    assert found.method == "mcnemar_exact+newcombe"


def test_the_one_sided_p_value_is_the_tail_of_a_fair_coin() -> None:
    found = compare_paired(*table(10, 9, 2, 10))
    assert found.p_value == pytest.approx((1 + 11 + 55) / 2**11)
    assert compare_paired(*table(10, 2, 9, 10)).p_value == pytest.approx(1 - (1 + 11) / 2**11)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((1, 1, 7, 12), -0.507, -0.026), ((59, 6, 16, 80), -0.1186, -0.0046)],
)
def test_newcombes_interval_against_published_examples(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    """Bentur et al. (2009) and Cavo et al. (2012), as analysed by Fagerland, Lydersen and Laake."""
    assert newcombe_interval(*counts, 0.95) == pytest.approx((low, high), abs=6e-4)


@given(cells)
def test_newcombes_interval_holds_the_difference_and_mirrors(counts: tuple[int, int, int, int]) -> None:
    both, wins, losses, neither = counts
    low, high = newcombe_interval(both, wins, losses, neither, 0.95)
    difference = (wins - losses) / sum(counts)
    assert -1 <= low <= difference + 1e-12
    assert difference - 1e-12 <= high <= 1
    assert newcombe_interval(both, losses, wins, neither, 0.95) == pytest.approx((-high, -low))


def test_newcombes_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    held = sum(
        low <= 0.1 <= high
        for low, high in (
            newcombe_interval(*map(int, row), 0.95) for row in random.multinomial(60, [0.5, 0.2, 0.1, 0.2], 1_000)
        )
    )
    assert stats.binomtest(held, 1_000, 0.94, alternative="less").pvalue > 0.001


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_few_graded_differences_are_flipped_exhaustively(alternative: str) -> None:
    differences = np.array([0.3, -0.1, 0.0, 0.2, 0.2, 0.1, -0.2, 0.4])
    reference = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", alternative=alternative, n_resamples=np.inf
    ).pvalue
    signed = differences if alternative == "greater" else -differences
    assert sign_flip_p_value(signed, resamples=9_999, seed=0) == pytest.approx(reference)


def test_many_graded_differences_are_sampled_as_scipy_does() -> None:
    differences = np.random.default_rng(8).normal(0.05, 0.3, 80)
    reference = stats.permutation_test(
        (differences,),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).pvalue
    assert sign_flip_p_value(differences, resamples=20_000, seed=1) == pytest.approx(reference, abs=0.01)


def test_a_sampled_p_value_is_never_0() -> None:
    assert sign_flip_p_value(np.full(100, 0.1), resamples=999, seed=0) == 1 / 1_000


def test_graded_scores_are_compared_row_by_row() -> None:
    candidate, production = [0.9, 0.4, 0.6, 0.6] * 5, [0.5, 0.5, 0.6, 0.1] * 5
    found = compare_paired(candidate, production)
    assert (found.wins, found.losses, found.ties, found.n) == (10, 5, 5, 20)
    assert found.difference == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    assert found.method == "permutation+bca"
    assert found.discordant_rate is None
    assert found.difference_sd == pytest.approx(np.std(np.subtract(candidate, production), ddof=1))


scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=16)


@given(scores)
def test_swapping_the_arms_swaps_the_answer(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found, mirror = compare_paired(ours, theirs), compare_paired(theirs, ours)
    assert found.difference == pytest.approx(-mirror.difference)
    assert found.p_value_two_sided == pytest.approx(mirror.p_value_two_sided, abs=0.02)
    assert (found.wins, found.losses) == (mirror.losses, mirror.wins)
    assert found.low - 1e-12 <= found.difference <= found.high + 1e-12


@given(scores)
def test_an_arm_against_itself_shows_nothing(pairs: list[tuple[float, float]]) -> None:
    same = [pair[0] for pair in pairs]
    found = compare_paired(same, same)
    assert (found.difference, found.p_value, found.p_value_two_sided, found.ties) == (0, 1, 1, len(same))


def test_a_better_candidate_has_the_small_p_value() -> None:
    low, high = [0.1, 0.2, 0.3, 0.2] * 10, [0.4, 0.5, 0.9, 0.3] * 10
    assert compare_paired(high, low).p_value < 0.001
    assert compare_paired(low, high).p_value > 0.999


def test_the_comparison_is_json() -> None:
    found = compare_paired([0.5, 1, 0], [0.5, 0, 0.25])
    read = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert PairedComparison(**read) == found == replace(found)


@pytest.mark.parametrize(
    ("candidate", "production", "problem"),
    [
        ([], [], "no score"),
        ([0.5], [], "no score"),
        ([0.5], [0.5, 0.5], "1 rows and production 2"),
        ([2], [0], "not between 0 and 1"),
    ],
)
def test_what_cannot_be_paired_is_refused(candidate: list[float], production: list[float], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        compare_paired(candidate, production)
