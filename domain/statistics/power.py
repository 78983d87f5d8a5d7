"""What a test split of a given size could have seen at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from domain.errors import InputError
from domain.statistics.samples import check_share
from domain.statistics.untyped import scipy_optimize, scipy_stats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FARTHEST = 10.0
_NO_SPREAD = 1e-9


def minimum_detectable_effect(
    n: int,
    *,
    alpha: float,
    discordant_rate: float | None = None,
    sd: float | None = None,
    power: float = 0.8,
) -> float | None:
    """The smallest true gain that a one-sided paired test at `alpha` finds with probability `power` on `n` rows.

    Give one of: `discordant_rate`, the share of rows on which right/wrong scores differ (exact McNemar test; a gain
    larger than it raises it), or `sd`, the standard deviation of graded scores' differences (t approximation of the
    permutation test). None where no gain can be found with so few rows, or where `sd` is 0 and so says nothing.

    Raises:
        InputError: `n` below 1, a share outside its range, or not exactly one of `discordant_rate` and `sd`.
    """
    if n < 1:
        raise InputError(f"{n} rows hold no pair", field="n", mend="evaluate at least one row.")
    check_share(alpha, "alpha")
    check_share(power, "power")
    if (discordant_rate is None) == (sd is None):
        raise InputError("give either discordant_rate or sd", field="sd", mend="right/wrong scores: discordant_rate.")
    if discordant_rate is not None:
        if not 0 <= discordant_rate <= 1:
            raise InputError(f"{discordant_rate} is not a share", field="discordant_rate", mend="use 0 to 1.")
        found = _mcnemar_power(n, discordant_rate, alpha)
        return _smallest(found, power, 1.0)
    spread = cast(float, sd)
    if spread < 0:
        raise InputError(f"{spread} is not a standard deviation", field="sd", mend="it is 0 or more.")
    return None if n < 2 or spread < _NO_SPREAD else _graded_effect(n, spread, alpha, power)


def _smallest(found: Callable[[float], float], power: float, largest: float) -> float | None:
    if found(largest) < power:
        return None

    def surplus(gain: float) -> float:
        return found(gain) - power

    return float(scipy_optimize().brentq(surplus, 0.0, largest, xtol=1e-6))


def _mcnemar_power(n: int, discordant_rate: float, alpha: float) -> Callable[[float], float]:
    """The exact test's power by gain: over every number of discordant pairs, the chance of enough wins."""
    import numpy as np

    binom = scipy_stats().binom
    pairs = np.arange(n + 1)
    needed: NDArray[np.float64] = binom.isf(alpha, pairs, 0.5) + 1

    def found(gain: float) -> float:
        rate = max(discordant_rate, gain)
        if not rate:
            return 0.0
        win = min(1.0, (rate + gain) / (2 * rate))
        return float(np.sum(binom.pmf(pairs, n, rate) * binom.sf(needed - 1, pairs, win)))

    return found


def _graded_effect(n: int, sd: float, alpha: float, power: float) -> float | None:
    distributions = scipy_stats()
    critical = float(distributions.t.isf(alpha, n - 1))
    # The noncentral t is exact up to some tens of standard errors and breaks down far beyond them.
    largest = min(1.0, (critical + _FARTHEST) * sd / n**0.5)

    def found(gain: float) -> float:
        return float(distributions.nct.sf(critical, n - 1, gain * n**0.5 / sd))

    return _smallest(found, power, largest)
