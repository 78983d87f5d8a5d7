"""The interval of a difference of two proportions seen on the same rows."""

from __future__ import annotations

from math import sqrt

from domain.statistics.intervals import wilson


def newcombe_interval(
    both: int, candidate_only: int, production_only: int, neither: int, confidence: float
) -> tuple[float, float]:
    """Newcombe's square-and-add interval of (candidate's share right − production's share right).

    It combines the two Wilson intervals and takes off what their correlation explains: method 10 of
    R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", Statistics in Medicine 17 (1998). The arguments count rows.
    """
    n = both + candidate_only + production_only + neither
    candidate = (both + candidate_only) / n
    production = (both + production_only) / n
    candidate_low, candidate_high = wilson(both + candidate_only, n, confidence)
    production_low, production_high = wilson(both + production_only, n, confidence)
    correlation = _correlation(both, candidate_only, production_only, neither)
    difference = candidate - production
    down = _distance(candidate - candidate_low, production_high - production, correlation)
    up = _distance(candidate_high - candidate, production - production_low, correlation)
    return max(-1.0, difference - down), min(1.0, difference + up)


def _distance(first: float, second: float, correlation: float) -> float:
    return sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))


def _correlation(both: int, candidate_only: int, production_only: int, neither: int) -> float:
    margins = (
        (both + candidate_only) * (production_only + neither) * (both + production_only) * (candidate_only + neither)
    )
    if not margins:
        return 0.0
    n = both + candidate_only + production_only + neither
    surplus = both * neither - candidate_only * production_only
    corrected = max(surplus - n / 2, 0.0) if surplus > 0 else surplus
    return corrected / sqrt(margins)
