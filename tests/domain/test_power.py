from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from domain.errors import InputError
from domain.statistics.paired import mcnemar_p_value
from domain.statistics.power import minimum_detectable_effect


@pytest.mark.parametrize(("n", "rate"), [(40, 0.4), (150, 0.2), (600, 0.1)])
def test_the_exact_test_finds_the_detectable_gain_four_times_in_five(n: int, rate: float) -> None:
    alpha = 0.0304
    gain = minimum_detectable_effect(n, alpha=alpha, discordant_rate=rate)
    assert gain is not None
    random = np.random.default_rng(n)
    shares = [(rate + gain) / 2, (rate - gain) / 2, 1 - rate]
    draws = random.multinomial(n, shares, 1_500)
    found = np.mean([mcnemar_p_value(int(wins), int(losses)) <= alpha for wins, losses, _ in draws])
    assert found == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(("n", "sd"), [(10, 0.1), (60, 0.3), (2_000, 0.5)])
def test_graded_scores_follow_the_t_test(n: int, sd: float) -> None:
    reference = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8, alternative="larger") * sd
    assert minimum_detectable_effect(n, alpha=0.05, sd=sd) == pytest.approx(reference, abs=1e-5)


@given(st.integers(30, 400), st.floats(0, 1), st.floats(0.001, 0.2))
def test_more_rows_never_hide_a_gain_by_much(n: int, rate: float, alpha: float) -> None:
    few = minimum_detectable_effect(n, alpha=alpha, discordant_rate=rate)
    many = minimum_detectable_effect(2 * n, alpha=alpha, discordant_rate=rate)
    assert few is not None
    assert many is not None
    assert 0 < many < few <= 1


@given(st.integers(2, 100_000), st.floats(0, 1), st.floats(1e-6, 0.4))
def test_a_graded_answer_is_a_gain_or_none(n: int, sd: float, alpha: float) -> None:
    found = minimum_detectable_effect(n, alpha=alpha, sd=sd)
    assert found is None or 0 < found <= 1


def test_too_few_rows_show_nothing() -> None:
    assert minimum_detectable_effect(4, alpha=0.05, discordant_rate=0.5) is None
    assert minimum_detectable_effect(5, alpha=0.05, discordant_rate=0.5) is not None
    assert minimum_detectable_effect(1, alpha=0.05, sd=0.3) is None
    assert minimum_detectable_effect(3, alpha=0.001, sd=0.9) is None


def test_equal_graded_scores_say_nothing_about_the_next_ones() -> None:
    assert minimum_detectable_effect(100, alpha=0.05, sd=0.0) is None
    assert minimum_detectable_effect(100, alpha=0.05, sd=3e-17) is None


def test_rows_that_all_agree_still_bound_the_gain() -> None:
    gain = minimum_detectable_effect(100, alpha=0.05, discordant_rate=0.0)
    assert gain == pytest.approx(0.0665, abs=0.002)


def test_a_stricter_alpha_or_more_power_needs_a_larger_gain() -> None:
    base = minimum_detectable_effect(200, alpha=0.05, discordant_rate=0.2)
    assert base is not None
    for stricter in ({"alpha": 0.005}, {"power": 0.95}):
        gain = minimum_detectable_effect(200, **{"alpha": 0.05, "discordant_rate": 0.2, **stricter})
        assert gain is not None
        assert gain > base


@pytest.mark.parametrize(
    ("n", "arguments"),
    [
        (0, {"alpha": 0.05, "sd": 1.0}),
        (10, {"alpha": 0.0, "sd": 1.0}),
        (10, {"alpha": 0.05, "sd": 1.0, "power": 1.0}),
        (10, {"alpha": 0.05}),
        (10, {"alpha": 0.05, "sd": 1.0, "discordant_rate": 0.1}),
        (10, {"alpha": 0.05, "sd": -1.0}),
        (10, {"alpha": 0.05, "discordant_rate": 1.5}),
    ],
)
def test_impossible_questions_are_refused(n: int, arguments: dict[str, float]) -> None:
    with pytest.raises(InputError):
        minimum_detectable_effect(n, **arguments)
