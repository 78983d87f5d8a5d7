"""Two arms of a randomised experiment as one stream of unbiased differences, unit after unit.

Every unit is put into the first arm with a known probability p. With predictions m and m′ of the two arms' values made
from earlier units only, X = m − m′ + (y − m)·1[first]/p − (y − m′)·1[second]/(1 − p) has exactly the mean difference
between the arms as its expectation, whatever the predictions and however the values drift over time: the augmented
inverse-probability estimator, as section 5.2 of Howard et al. (see `evidence`) and D. Ham, I. Bojinov, M. Lindon and
M. Tingley, "Design-based confidence sequences" (2022), use it. Its variance is that of the difference of two means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.statistics.evidence import evidence_bound, log_evidence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.statistics.samples import FloatArray

    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]

SMALLEST_RATIO, LARGEST_RATIO = 1e-3, 1e3
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class ArmStream:
    """One arm's part of the stream, running sums by unit; values lie between 0 and `most`.

    Attributes:
        total: Σ of m + (y − m)·1[arm]/p; divided by `units` it estimates the arm's mean.
        squares: Σ of ((y − m)·1[arm]/p)².
        units: how many units of all arms each sum runs over.
        reach: what no surprise (y − m)/p is farther from 0 than.
    """

    total: FloatArray
    squares: FloatArray
    units: FloatArray
    reach: float

    def at(self, times: IntArray) -> ArmStream:
        """The stream at the 0-based `times` only."""
        return ArmStream(self.total[times], self.squares[times], self.units[times], self.reach)

    def interval(self, alpha: float) -> tuple[FloatArray, FloatArray]:
        """Confidence sequence of the arm's mean: ever wrong with probability ≤ `alpha`."""
        return _interval(self.total, self.squares, self.units, self.reach, alpha)


def arm_stream(
    values: FloatArray, is_in: BoolArray, share: FloatArray, *, guess: float, most: float, smallest_share: float
) -> ArmStream:
    """The stream of the arm whose units are `is_in`, each with probability `share`, never below `smallest_share`.

    `guess` predicts the first value; a later prediction is the mean of guess and earlier values.
    """
    import numpy as np

    own = np.where(is_in, values, 0.0)
    before = np.cumsum(own) - own
    count = np.cumsum(is_in) - is_in
    predicted = (guess + before) / (1 + count)
    surprise = np.where(is_in, (values - predicted) / share, 0.0)
    units = np.arange(1.0, values.size + 1)
    return ArmStream(np.cumsum(predicted + surprise), np.cumsum(surprise**2), units, most / smallest_share)


@dataclass(frozen=True, slots=True)
class DifferenceStream:
    """First arm − second arm, over the same units."""

    first: ArmStream
    second: ArmStream

    @property
    def estimate(self) -> FloatArray:
        """The mean difference so far."""
        return (self.first.total - self.second.total) / self.first.units

    def log_evidence_above(self, bound: float) -> FloatArray:
        """Log-evidence that the mean difference lies above `bound`, at each time."""
        total = self.first.total - self.second.total - bound * self.first.units
        return log_evidence(total / self._reach, self._squares / self._reach**2)

    def interval(self, alpha: float) -> tuple[FloatArray, FloatArray]:
        """Confidence sequence of the mean difference: ever wrong with probability ≤ `alpha`."""
        total = self.first.total - self.second.total
        return _interval(total, self._squares, self.first.units, self._reach, alpha)

    @property
    def _squares(self) -> FloatArray:
        # A unit is in one arm, so the squared surprises of X are those of the arms.
        return self.first.squares + self.second.squares

    @property
    def _reach(self) -> float:
        return max(self.first.reach, self.second.reach)


@dataclass(frozen=True, slots=True)
class RatioStream:
    """Mean of the first arm / mean of the second arm, for values of 0 or more."""

    first: ArmStream
    second: ArmStream

    def log_evidence_above(self, ratio: FloatArray) -> FloatArray:
        """Log-evidence that the ratio lies above `ratio`, at each time: that first − ratio × second is positive."""
        return self._evidence(ratio, 1)

    def interval(self, alpha: float) -> tuple[FloatArray, FloatArray]:
        """Confidence sequence of the ratio: ever wrong with probability ≤ `alpha`; 0 and ∞ where nothing is known."""
        import numpy as np

        wanted = np.log(2 / alpha)
        low = self._farthest(wanted, 1, SMALLEST_RATIO, LARGEST_RATIO)
        high = self._farthest(wanted, -1, LARGEST_RATIO, SMALLEST_RATIO)
        return np.where(np.isnan(low), 0.0, low), np.where(np.isnan(high), np.inf, high)

    def _farthest(self, wanted: float, sign: int, certain: float, doubtful: float) -> FloatArray:
        """The ratio farthest from `certain` that the evidence rules out, by bisection on its logarithm; NaN if none."""
        import numpy as np

        shown = np.full(self.first.total.shape, np.log(certain))
        open_end = np.full(self.first.total.shape, np.log(doubtful))
        for _ in range(_HALVINGS):
            middle = (shown + open_end) / 2
            enough = self._evidence(np.exp(middle), sign) >= wanted
            shown, open_end = np.where(enough, middle, shown), np.where(enough, open_end, middle)
        return np.where(shown == np.log(certain), np.nan, np.exp(shown))

    def _evidence(self, ratio: FloatArray, sign: int) -> FloatArray:
        import numpy as np

        reach = np.maximum(self.first.reach, ratio * self.second.reach)
        total = sign * (self.first.total - ratio * self.second.total)
        return log_evidence(total / reach, (self.first.squares + ratio**2 * self.second.squares) / reach**2)


def _interval(
    total: FloatArray, squares: FloatArray, units: FloatArray, reach: float, alpha: float
) -> tuple[FloatArray, FloatArray]:
    distance = reach * evidence_bound(squares / reach**2, alpha / 2)
    return (total - distance) / units, (total + distance) / units
