from __future__ import annotations

import numpy as np
from scipy import stats

from domain.statistics.family import compare_family
from domain.statistics.holm import holm
from domain.statistics.paired import compare_paired

ROWS, CANDIDATES, ALPHA = 80, 8, 0.05


def test_each_member_is_its_own_comparison_with_holm_s_p_value() -> None:
    random = np.random.default_rng(1)
    production = list((random.random(ROWS) < 0.5).astype(float))
    candidates = {name: list((random.random(ROWS) < chance).astype(float)) for name, chance in (("a", 0.5), ("b", 0.9))}
    found = {one.name: one for one in compare_family(candidates, production)}
    alone = {name: compare_paired(scores, production) for name, scores in candidates.items()}
    assert {name: one.comparison for name, one in found.items()} == alone
    adjusted = holm([alone["a"].p_value, alone["b"].p_value])
    assert (found["a"].adjusted_p_value, found["b"].adjusted_p_value) == adjusted
    assert found["b"].adjusted_p_value < ALPHA < found["a"].adjusted_p_value


def test_nobody_to_compare_is_nothing() -> None:
    assert compare_family({}, [1.0]) == ()


def test_of_many_equal_candidates_one_passes_no_more_often_than_alpha() -> None:
    random, trials = np.random.default_rng(2), 250
    fooled = uncorrected = 0
    for _ in range(trials):
        chance = random.beta(2, 1, ROWS)
        draws = [list((random.random(ROWS) < chance).astype(float)) for _ in range(CANDIDATES + 1)]
        family = compare_family({str(number): scores for number, scores in enumerate(draws[1:])}, draws[0])
        fooled += any(one.adjusted_p_value <= ALPHA for one in family)
        uncorrected += any(one.comparison.p_value <= ALPHA for one in family)
    assert stats.binomtest(fooled, trials, ALPHA, alternative="greater").pvalue > 0.001
    assert stats.binomtest(uncorrected, trials, ALPHA, alternative="greater").pvalue < 0.001
