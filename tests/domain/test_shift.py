"""Two samples of lengths: no more false alarms than promised, whatever the number of looks; real shifts are found."""

from __future__ import annotations

import numpy as np
import pytest

from domain.errors import InputError
from domain.statistics.alpha_spending import alpha_for_look
from domain.statistics.paired import compare_paired
from domain.statistics.shift import compare_amounts

ALPHA = 0.05


def lengths(random: np.random.Generator, rows: int, centre: float = 4.0) -> list[float]:
    """Tokens per input: whole numbers, a long tail."""
    return np.rint(random.lognormal(centre, 0.6, rows)).tolist()


def test_inputs_that_do_not_change_alarm_as_rarely_as_promised() -> None:
    """Measured: 3.8 % of 400 prompts with 10 looks each (500 rows, α = 5 %); here a part of them."""
    random = np.random.default_rng(20261125)
    prompts, looks, alarms = 120, 8, 0
    for _ in range(prompts):
        reference = lengths(random, 300)
        alarms += any(
            compare_amounts(reference, lengths(random, 300)).p_value <= alpha_for_look(ALPHA, look)
            for look in range(1, looks + 1)
        )
    assert alarms / prompts <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / prompts) ** 0.5


def test_scores_that_do_not_change_alarm_as_rarely_as_promised() -> None:
    """A model that answers one row in eight differently each time, against its own first answers."""
    random = np.random.default_rng(7)
    prompts, looks, alarms = 150, 8, 0
    for _ in range(prompts):
        right = random.random(80) < 0.8
        first, *later = (np.where(random.random(80) < 0.125, ~right, right).astype(float) for _ in range(looks + 1))
        alarms += any(
            compare_paired(first.tolist(), one.tolist()).p_value <= alpha_for_look(ALPHA, look)
            for look, one in enumerate(later, 1)
        )
    assert alarms / prompts <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / prompts) ** 0.5


def test_longer_inputs_are_found() -> None:
    random = np.random.default_rng(3)
    shift = compare_amounts(lengths(random, 500), lengths(random, 500, centre=4.4))
    assert shift.p_value < 1e-6
    assert shift.distance > 0.15
    assert shift.current_mean > shift.reference_mean


def test_equal_samples_are_equal_in_both_directions() -> None:
    random = np.random.default_rng(5)
    one, other = lengths(random, 200), lengths(random, 250)
    assert compare_amounts(one, other).p_value == pytest.approx(compare_amounts(other, one).p_value)
    assert compare_amounts(one, one).distance == 0


def test_values_that_are_all_the_same_say_nothing() -> None:
    assert compare_amounts([7.0] * 50, [7.0] * 60).p_value == 1
    two_values = compare_amounts([1.0] * 50 + [2.0] * 50, [1.0] * 10 + [2.0] * 90)
    assert two_values.classes == 2
    assert two_values.distance == pytest.approx(0.4)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(InputError, match="smaller sample"):
        compare_amounts([float(n) for n in range(100)], [1.0, 2.0, 3.0])
