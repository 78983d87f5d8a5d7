"""Agreement of two raters, against figures worked out by hand."""

from __future__ import annotations

import pytest

from domain.errors import InputError
from domain.statistics.agreement import agreement


def test_kappa_of_a_two_by_two_table() -> None:
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 0.7, chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5, kappa 0.4."""
    people = [1] * 25 + [0] * 25
    judge = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    found = agreement(people, judge, [0, 1])

    assert found.accuracy == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high
    assert found.confusion == ((15, 10), (5, 20))
    assert found.deciding_kappa == found.kappa


def test_a_near_miss_weighs_less_than_a_far_one() -> None:
    """People 1 2 3, judge 2 3 3. Observed Σd² = 1 + 1 + 0 = 2 of 3 rows. By chance every person's grade meets every
    judge's: 1-2, 1-3, 1-3, 2-2, 2-3, 2-3, 3-2, 3-3, 3-3 give 1 4 4 0 1 1 1 0 0 = 12 of 9 pairs.
    Weighted kappa = 1 − (2/3) / (12/9) = 0.5. Plain: 1/3 observed, chance (0 + 1/3·1/3 + 1/3·2/3) = 1/3, kappa 0.
    """
    found = agreement([1, 2, 3], [2, 3, 3], [1, 2, 3])
    assert found.weighted_kappa == pytest.approx(0.5)
    assert found.kappa == pytest.approx(0.0)
    assert found.deciding_kappa == found.weighted_kappa


def test_full_agreement_and_none() -> None:
    assert agreement([1, 2, 3, 1], [1, 2, 3, 1], [1, 2, 3]).kappa == pytest.approx(1)
    assert agreement([0, 0, 1, 1], [1, 1, 0, 0], [0, 1]).kappa == pytest.approx(-1)
    one_sided = agreement([0, 0, 0, 0], [1, 1, 0, 0], [0, 1])
    assert (one_sided.kappa, one_sided.low, one_sided.high) == (0, None, None)
    assert agreement([0, 0], [1, 1], [0, 1]).kappa == 0


def test_one_single_grade_shows_nothing() -> None:
    found = agreement([3, 3], [3, 3], [1, 2, 3])
    assert (found.accuracy, found.kappa, found.weighted_kappa) == (1.0, None, None)


@pytest.mark.parametrize(("people", "judge"), [([], []), ([1], [1, 2]), ([1], [7])])
def test_what_cannot_be_compared_is_refused(people: list[int], judge: list[int]) -> None:
    with pytest.raises(InputError):
        agreement(people, judge, [1, 2, 3])
