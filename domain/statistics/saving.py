"""Significantly cheaper: the candidate's bill against production's for the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import InputError
from domain.statistics.bounded_mean import mean_not_above_p_value
from domain.statistics.intervals import RESAMPLES
from domain.statistics.samples import amount_array, refuse_unpaired


def saving_p_value(
    candidate_costs: Sequence[float],
    production_costs: Sequence[float],
    min_saving: float,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """One-sided p-value against "the candidate's true bill is above (1 − `min_saving`) × production's".

    Costs are per row, in any unit, paired by position. What is tested is the mean of
    (1 − `min_saving`) × production − candidate. Bills have long tails, so one row worse than any seen is counted in:
    production free, the candidate as dear as the dearest row of either arm (see `bounded_mean`). Arms that both cost
    nothing show no saving: the value is 1.

    Raises:
        InputError: no pair, unequal lengths, a negative cost, or a `min_saving` outside 0 to 1.
    """
    ours = amount_array(candidate_costs, "candidate.costs")
    theirs = amount_array(production_costs, "production.costs")
    refuse_unpaired(ours, theirs, "costs")
    if not 0 <= min_saving < 1:
        raise InputError(f"{min_saving} is not a saving", field="min_saving", mend="use a share such as 0.05.")
    worst = -max(float(ours.max()), float(theirs.max()))
    return mean_not_above_p_value((1 - min_saving) * theirs - ours, 0.0, worst, resamples=resamples, seed=seed)


def total_ratio(candidate: Sequence[float], production: Sequence[float]) -> float | None:
    """Candidate's total / production's; 1 where both are 0, None where production's alone is."""
    return _ratio(sum(candidate), sum(production))


def median_ratio(candidate: Sequence[float], production: Sequence[float]) -> float | None:
    """Candidate's median / production's; 1 where both are 0, None where production's alone is."""
    from statistics import median

    return _ratio(median(candidate), median(production))


def _ratio(candidate: float, production: float) -> float | None:
    if production:
        return candidate / production
    return None if candidate else 1.0
