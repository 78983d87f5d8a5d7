"""Cost and latency of a variant against the control's, as confidence sequences of their ratio.

Costs and latencies have no upper bound, and no guarantee for a mean can do without one. So the first answers set a cap
for each arm, `CAP_TIMES` times their median, and everything after them counts as at most that: the ratio is one of
capped means.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from domain.experiment.report import PathPoint, RatioFigures
from domain.statistics.two_arms import RatioStream, arm_stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.statistics.samples import FloatArray

CAP_UNITS = 50
CAP_TIMES = 10


def compare_amounts(
    values: FloatArray,
    is_first: NDArray[np.bool_],
    share: FloatArray,
    at: FloatArray,
    *,
    smallest_share: float,
    limit: float | None,
    alpha: float,
    points: int,
) -> RatioFigures | None:
    """The ratio of the first arm's mean to the second's; None up to `CAP_UNITS` units, or where those are free.

    Args:
        values: 0 or more, by unit of both arms in order; NaN where there is none.
        share: probability of the first arm.
        alpha: the interval is ever wrong, and the limit is ever falsely called broken, with at most this probability.
        points: how many points of the path to give.
    """
    import numpy as np

    known = ~np.isnan(values)
    values, is_first, share, at = values[known], is_first[known], share[known], at[known]
    medians = _medians(values[:CAP_UNITS], is_first[:CAP_UNITS]) if values.size > CAP_UNITS else None
    if medians is None:
        return None
    values, is_first, share, at = values[CAP_UNITS:], is_first[CAP_UNITS:], share[CAP_UNITS:], at[CAP_UNITS:]
    times = path_times(values.size, points)
    stream = _ratio_stream(values, is_first, share, medians, smallest_share, times)
    low, high = stream.interval(alpha)
    estimates = _estimates(stream)
    above = 0.0 if limit is None else float(stream.log_evidence_above(np.full(times.shape, limit))[-1])
    path = tuple(
        PathPoint(int(time) + 1 + CAP_UNITS, float(at[time]), float(estimate), float(lowest), float(highest))
        for time, estimate, lowest, highest in zip(times, estimates, low, high, strict=True)
        if not np.isnan(estimate)
    )
    return RatioFigures(
        ratio=None if np.isnan(estimates[-1]) else float(estimates[-1]),
        low=float(low[-1]),
        high=float(high[-1]),
        units=int(values.size) + CAP_UNITS,
        caps=(CAP_TIMES * medians[0], CAP_TIMES * medians[1]),
        limit=limit,
        broken=above >= log(2 / alpha),
        path=path,
    )


def _ratio_stream(
    values: FloatArray,
    is_first: NDArray[np.bool_],
    share: FloatArray,
    medians: tuple[float, float],
    smallest_share: float,
    times: NDArray[np.int64],
) -> RatioStream:
    """Both arms at `times`, each value at most its arm's cap."""
    import numpy as np

    first, second = (
        arm_stream(
            np.minimum(values, CAP_TIMES * median),
            own,
            chance,
            guess=median,
            most=CAP_TIMES * median,
            smallest_share=smallest_share,
        ).at(times)
        for own, chance, median in ((is_first, share, medians[0]), (~is_first, 1 - share, medians[1]))
    )
    return RatioStream(first, second)


def _estimates(stream: RatioStream) -> FloatArray:
    """The ratio at each time; NaN as long as the second arm's total is 0."""
    import numpy as np

    first, second = stream.first.total, stream.second.total
    return np.where(second > 0, first / np.where(second > 0, second, 1), np.nan)


def _medians(values: FloatArray, is_first: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Of the first arm and the second; None where an arm has no value or its median is 0."""
    import numpy as np

    if not is_first.any() or is_first.all():
        return None
    first, second = float(np.median(values[is_first])), float(np.median(values[~is_first]))
    return (first, second) if first > 0 and second > 0 else None


def path_times(units: int, points: int) -> NDArray[np.int64]:
    """0-based positions of at most `points` units, the last one among them, denser at the start."""
    import numpy as np

    return np.unique(np.geomspace(1, units, min(points, units)).round().astype(np.int64)) - 1
