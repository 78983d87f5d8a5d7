"""The interval shown wherever a mean score is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from domain.statistics.bounded_mean import bounded_mean_interval
from domain.statistics.samples import check_share, is_binary, score_array
from domain.statistics.untyped import scipy_stats

if TYPE_CHECKING:
    from domain.statistics.samples import FloatArray

RESAMPLES = 9_999
SMALLEST_BOOTSTRAP = 10
LARGEST_BOOTSTRAP = 2_000
_BATCH_VALUES = 2_000_000
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its two-sided interval.

    Attributes:
        mean, low, high: in the unit of the scores.
        n: rows.
        method: `wilson`, `bounded`, `bca` or `t`.
    """

    mean: float
    low: float
    high: float
    n: int
    method: str


def mean_interval(scores: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The mean of `scores` (0 to 1) and its interval; the same scores and seed give the same one.

    Right/wrong scores get Wilson's interval. Graded ones get the BCa bootstrap, except where it is not to be
    trusted: below 10 rows, or when all rows are equal, the interval that holds for any bounded variable (see
    `bounded_mean`), which is wide and says so; above 2,000 rows Student's t, which is the same there and cheaper.

    Raises:
        InputError: no score, a score outside 0 to 1, or a `confidence` that is none.
    """
    values = score_array(scores)
    check_share(confidence, "confidence")
    if not is_binary(values):
        return graded_interval(values, 0.0, 1.0, confidence, seed)
    right = int(values.sum())
    low, high = wilson(right, values.size, confidence)
    return Interval(right / values.size, low, high, values.size, "wilson")


def wilson(right: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), the same as `scipy.stats` gives.

    Written out, since every optimization run shows some, and loading `scipy.stats` takes most of a second.
    """
    z = NormalDist().inv_cdf(0.5 + 0.5 * confidence)
    share = right / n
    centre = (2 * n * share + z**2) / (2 * (n + z**2))
    reach = z / (2 * (n + z**2)) * sqrt(4 * n * share * (1 - share) + z**2)
    return 0.0 if right == 0 else centre - reach, 1.0 if right == n else centre + reach


def graded_interval(values: FloatArray, least: float, most: float, confidence: float, seed: int) -> Interval:
    """The interval of the mean of graded values between `least` and `most`; see `mean_interval`."""
    mean = float(values.mean())
    if values.size < SMALLEST_BOOTSTRAP or float(values.max() - values.min()) < _SAME:
        low, high = bounded_mean_interval(values, least, most, confidence, resamples=RESAMPLES, seed=seed)
        method = "bounded"
    elif values.size > LARGEST_BOOTSTRAP:
        low, high = _student(values, confidence)
        method = "t"
    else:
        low, high = _bca(values, confidence, seed)
        method = "bca"
    return Interval(mean, max(least, min(low, mean)), min(most, max(high, mean)), values.size, method)


def _bca(values: FloatArray, confidence: float, seed: int) -> tuple[float, float]:
    import numpy as np

    result = scipy_stats().bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_VALUES // values.size),
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _student(values: FloatArray, confidence: float) -> tuple[float, float]:
    spread = float(values.std(ddof=1)) / values.size**0.5
    low, high = scipy_stats().t.interval(confidence, values.size - 1, loc=float(values.mean()), scale=spread)
    return float(low), float(high)
