"""Not worse by more than a margin."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import InputError
from domain.statistics.bounded_mean import mean_not_above_p_value
from domain.statistics.intervals import RESAMPLES
from domain.statistics.samples import refuse_unpaired, score_array


def non_inferiority_p_value(
    candidate: Sequence[float],
    production: Sequence[float],
    margin: float,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """One-sided p-value against "the candidate's true mean is lower by `margin` or more".

    At a true loss equal to the margin it is ≤ α with probability ≤ α, for right/wrong and for graded scores and for
    any number of rows: few rows without a loss are no proof (see `bounded_mean`).

    Raises:
        InputError: no pair, unequal lengths, a score outside 0 to 1, or a margin that is not between 0 and 1.
    """
    ours, theirs = score_array(candidate, "candidate"), score_array(production, "production")
    refuse_unpaired(ours, theirs, "scores")
    if not 0 < margin < 1:
        raise InputError(f"{margin} is not a margin", field="margin", mend="use a share of a point, such as 0.02.")
    return mean_not_above_p_value(ours - theirs, -margin, -1.0, resamples=resamples, seed=seed)
