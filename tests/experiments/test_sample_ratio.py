"""Units per variant against their shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from domain.errors import InputError
from domain.statistics.sample_ratio import Stratum, check_sample_ratio


def test_two_variants_are_tested_exactly() -> None:
    found = check_sample_ratio([Stratum((480, 520), (0.5, 0.5))])
    assert (found.method, found.matches, found.expected) == ("binomial", True, (500.0, 500.0))
    assert found.p_value == pytest.approx(stats.binomtest(480, 1000, 0.5).pvalue)
    assert "480 : 520" in found.sentence


def test_more_variants_get_scipys_chi_square() -> None:
    found = check_sample_ratio([Stratum((90, 110, 310), (0.2, 0.2, 0.6))])
    assert found.p_value == pytest.approx(stats.chisquare([90, 110, 310], [102, 102, 306]).pvalue)
    assert found.method == "chi_square"


def test_few_units_prove_nothing() -> None:
    assert check_sample_ratio([Stratum((0, 0), (0.5, 0.5))]).matches
    few = check_sample_ratio([Stratum((3, 1, 2), (0.4, 0.3, 0.3))])
    assert (few.p_value, few.matches) == (None, True)


@pytest.mark.parametrize(("counts", "shares"), [((5_300, 4_700), (0.5, 0.5)), ((1_000, 1_000), (0.6, 0.4))])
def test_a_mismatch_is_called_one(counts: tuple[int, int], shares: tuple[float, float]) -> None:
    found = check_sample_ratio([Stratum(counts, shares)])
    assert not found.matches
    assert "cannot be trusted" in found.sentence


def test_changed_shares_are_counted_by_the_time_they_were_in_force() -> None:
    """9 : 1 and then 1 : 1 looks like neither."""
    ramp = [Stratum((900, 100), (0.9, 0.1)), Stratum((500, 500), (0.5, 0.5))]
    assert check_sample_ratio(ramp).matches
    assert check_sample_ratio(ramp).p_value == 1
    assert not check_sample_ratio([Stratum((1_400, 600), (0.5, 0.5))]).matches


def test_looking_after_again_and_again_alarms_no_more_often_than_it_may() -> None:
    random, alarms, trials = np.random.default_rng(2), 0, 30
    for _ in range(trials):
        first = np.cumsum(random.random(1_000) < 0.3)
        alarms += any(
            not check_sample_ratio([Stratum((int(first[n]), n + 1 - int(first[n])), (0.3, 0.7))], 0.05).matches
            for n in range(9, 1_000, 40)
        )
    assert stats.binomtest(alarms, trials, 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize(
    "strata", [[], [Stratum((1,), (1.0,))], [Stratum((1, -1), (0.5, 0.5))], [Stratum((1, 1), (1.0, 0.0))]]
)
def test_impossible_counts_are_refused(strata: list[Stratum]) -> None:
    with pytest.raises(InputError):
        check_sample_ratio(strata)
