"""Spending α over repeated looks at the same sealed rows."""

from __future__ import annotations

from math import pi

from domain.errors import InputError


def alpha_for_look(alpha: float, look: int) -> float:
    """The share of `alpha` that look number `look` (from 1) may spend: alpha × 6 / (π² × look²).

    Nobody knows how often a test split will be looked at. Since Σ 1/k² = π²/6, these shares add up to `alpha` over
    infinitely many looks, so that by the union bound the looks together err with probability ≤ `alpha`.

    Raises:
        InputError: `look` is below 1.
    """
    if look < 1:
        raise InputError(f"look {look} does not exist", field="look", mend="count looks from 1.")
    return alpha * 6 / (pi * look) ** 2
