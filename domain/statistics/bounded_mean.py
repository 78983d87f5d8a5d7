"""What a sample says about the mean of a bounded variable, with a guarantee that needs no shape and no large n.

Bootstrap and t methods see no risk in a sample that happens to show none: 50 rows without a loss look like certainty.
Gaffke's method counts one worst possible row in and weights all rows by uniform spacings (Dirichlet(1, …, 1)); for
0/1 data it is exactly Clopper–Pearson. See N. Gaffke, "Three test statistics for a nonparametric one-sided hypothesis
on the mean of a nonnegative variable" (2005), and E. Learned-Miller and P. Thomas, "A new confidence interval for the
mean of a bounded random variable" (2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.statistics.samples import FloatArray

_BLOCK_VALUES = 2_000_000


def mean_not_above_p_value(values: FloatArray, bound: float, worst: float, *, resamples: int, seed: int) -> float:
    """One-sided p-value against "the true mean is ≤ `bound`", for values that are never below `worst`."""
    import numpy as np

    below = 0
    for weighted, total in _weighted_sums(np.append(values, worst) - bound, resamples, seed):
        del total
        below += int(np.count_nonzero(weighted <= 0))
    return (below + 1) / (resamples + 1)


def bounded_mean_interval(
    values: FloatArray, least: float, most: float, confidence: float, *, resamples: int, seed: int
) -> tuple[float, float]:
    """Two-sided interval of the mean of values that lie between `least` and `most`."""
    import numpy as np

    tail = (1 - confidence) / 2
    low = np.concatenate([w / t for w, t in _weighted_sums(np.append(values, least), resamples, seed)])
    high = np.concatenate([w / t for w, t in _weighted_sums(np.append(values, most), resamples, seed)])
    return float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail))


def _weighted_sums(values: FloatArray, resamples: int, seed: int) -> list[tuple[FloatArray, FloatArray]]:
    """Per block of resamples: the sums weighted by standard exponentials, and the weights' own sums."""
    import numpy as np

    random = np.random.default_rng(seed)
    block = max(1, _BLOCK_VALUES // values.size)
    sums: list[tuple[FloatArray, FloatArray]] = []
    for start in range(0, resamples, block):
        weights = random.standard_exponential((min(block, resamples - start), values.size))
        sums.append((weights @ values, weights.sum(axis=1)))
    return sums
