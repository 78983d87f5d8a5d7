"""Evidence that may be looked at at any time: a mixture of bets against a hypothesis about a running mean.

For numbers ξ ≥ −1 and bets 0 ≤ λ < 1, exp(λ ξ − ψ(λ) ξ²) ≤ 1 + λ ξ with ψ(λ) = −log(1 − λ) − λ (Fan, Grama and Liu,
"Exponential inequalities for martingales with applications", 2015). So if D₁, D₂, … are ≥ −scale, S is the sum of the
excesses of the observations over the hypothesis and V that of the D², the wealth exp(λ S / scale − ψ(λ) V / scale²) is
a supermartingale under the hypothesis, and so is any mixture over λ. By Ville's inequality it ever reaches 1/α with
probability ≤ α, however often and whenever somebody looks. This is the empirical-Bernstein confidence sequence of
S. R. Howard, A. Ramdas, J. McAuliffe and J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
Annals of Statistics 49 (2021), theorem 4, with their discrete mixture (section 3.5).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.statistics.samples import FloatArray

LARGEST_BET = 0.9
BETS = 20
"""Each a √2-th of the one before: the smallest, 0.0012, suits millions of units."""

_BLOCK = 50_000
_NEWTON_STEPS = 50
_CLOSE = 1e-9


def log_evidence(total: FloatArray, variance: FloatArray) -> FloatArray:
    """Logarithm of the wealth at each time, from S / scale (`total`) and V / scale² (`variance`).

    The scale is a constant chosen before the first observation.
    """
    import numpy as np

    bets, costs, weight = _mixture()
    wealth = np.empty(total.shape)
    for start in range(0, total.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        exponents = np.outer(total[part], bets) - np.outer(variance[part], costs)
        highest = exponents.max(axis=1)
        wealth[part] = highest + np.log(np.exp(exponents - highest[:, None]).sum(axis=1)) + np.log(weight)
    return wealth


def evidence_bound(variance: FloatArray, alpha: float) -> FloatArray:
    """The S / scale at which the evidence reaches 1/α, for each V / scale²: S ever lies above with probability ≤ α."""
    import numpy as np

    bets, costs, weight = _mixture()
    wanted = -np.log(alpha)
    losses = np.outer(variance, costs)
    # One bet alone reaches it here; from the right, Newton's steps on a convex function never overshoot.
    bound = ((losses + wanted - np.log(weight)) / bets).min(axis=1)
    for _ in range(_NEWTON_STEPS):
        exponents = np.outer(bound, bets) - losses
        highest = exponents.max(axis=1)
        parts = np.exp(exponents - highest[:, None])
        whole = parts.sum(axis=1)
        step = (highest + np.log(whole) + np.log(weight) - wanted) / ((parts @ bets) / whole)
        bound = bound - step
        if float(np.abs(step).max(initial=0.0)) < _CLOSE:
            break
    return bound


def p_value(log_wealth: float) -> float:
    """The always-valid p-value of evidence of that logarithm: ever ≤ α with probability ≤ α under the hypothesis."""
    from math import exp

    return exp(-max(0.0, log_wealth))


@cache
def _mixture() -> tuple[FloatArray, FloatArray, float]:
    """Bets λ, their ψ(λ), and the weight each has."""
    import numpy as np

    bets = LARGEST_BET * 2.0 ** (-np.arange(BETS) / 2)
    return bets, -np.log1p(-bets) - bets, 1 / BETS
