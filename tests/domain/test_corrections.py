from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from domain.errors import InputError
from domain.statistics.alpha_spending import alpha_for_look
from domain.statistics.holm import holm


def test_holm_is_statsmodels_holm() -> None:
    random = np.random.default_rng(0)
    families = [list(random.random(size) ** power) for size in (1, 2, 5, 9) for power in (1, 3)]
    for family in [*families, [0.02, 0.02, 0.5, 0.0, 1.0]]:
        assert holm(family) == pytest.approx(tuple(multipletests(family, method="holm")[1]))


def test_holm_of_a_known_family() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.2]) == (0.2,)
    assert holm([]) == ()


@pytest.mark.parametrize("p_value", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(p_value: float) -> None:
    with pytest.raises(InputError, match="not a p-value"):
        holm([0.5, p_value])


@given(st.floats(0.001, 0.5))
def test_all_looks_together_spend_alpha_and_no_more(alpha: float) -> None:
    spent = sum(alpha_for_look(alpha, look) for look in range(1, 5_000))
    assert 0.999 * alpha <= spent <= alpha


def test_each_look_spends_less() -> None:
    assert alpha_for_look(0.05, 1) == pytest.approx(0.030396, abs=1e-6)
    assert alpha_for_look(0.05, 2) == pytest.approx(alpha_for_look(0.05, 1) / 4)


@pytest.mark.parametrize("look", [0, -1])
def test_looks_are_counted_from_1(look: int) -> None:
    with pytest.raises(InputError, match="count looks from 1"):
        alpha_for_look(0.05, look)
