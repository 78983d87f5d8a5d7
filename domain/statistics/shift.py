"""Whether two samples come from one distribution: for lengths of inputs, and for what falls into classes.

The pooled sample is cut into classes of nearly equal size (its own quantiles, so that exchanging the samples changes
nothing), and the two rows of counts are compared by Pearson's chi-square of homogeneity. How far they are apart is the
total variation distance of the two rows, from 0 (the same) to 1 (nothing in common): with thousands of rows even a
shift that nobody cares about is significant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.errors import InputError
from domain.statistics.samples import amount_array
from domain.statistics.untyped import scipy_stats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = 8
LEAST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class Shift:
    """Two samples compared.

    Attributes:
        p_value: of "both come from one distribution", for independent rows.
        distance: total variation distance of the observed shares, 0 to 1; by chance alone it is above 0.
        classes: how many classes were compared; 1 means that nothing can be said.
        reference_mean, current_mean: in the unit of the values.
    """

    p_value: float
    distance: float
    classes: int
    reference_mean: float
    current_mean: float


def compare_amounts(reference: Sequence[float], current: Sequence[float], classes: int = CLASSES) -> Shift:
    """Compare two samples of amounts, such as tokens per input.

    Raises:
        InputError: a sample is empty, or a value is negative, infinite or NaN.
    """
    import numpy as np

    before, now = amount_array(reference, "reference"), amount_array(current, "current")
    pooled = np.concatenate([before, now])
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, classes + 1)[1:-1], method="inverted_cdf"))
    # Values up to an edge fall below it: equal values are never torn apart.
    counts = np.stack(
        [np.bincount(np.searchsorted(edges, one, side="left"), minlength=edges.size + 1) for one in (before, now)]
    )
    return _compare(counts, float(before.mean()), float(now.mean()))


def compare_classes(reference: Mapping[str, int], current: Mapping[str, int]) -> Shift:
    """Compare how often two samples show each class, such as each label among answers; means are 0.

    Classes too rare to be compared by themselves count as one. Which these are is chosen by both samples together, so
    that exchanging them changes nothing.

    Raises:
        InputError: a sample is empty.
    """
    import numpy as np

    names = sorted({*reference, *current})
    counts = np.array([[one.get(name, 0) for name in names] for one in (reference, current)], np.int64)
    sizes = counts.sum(axis=1)
    if not sizes.all():
        raise InputError("there is no row to look at", field="rows", mend="compare at least one row.")
    least = counts.sum(axis=0) * (sizes.min() / sizes.sum())
    rare = least < LEAST_EXPECTED
    if rare.any():
        # A heap that is still too small takes the rarest of the others in.
        order = np.argsort(least, kind="stable")
        heap = max(int(rare.sum()), int(np.searchsorted(np.cumsum(least[order]), LEAST_EXPECTED)) + 1)
        rare[order[:heap]] = True
        counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    return _compare(counts, 0.0, 0.0)


def _compare(counts: NDArray[np.int64], reference_mean: float, current_mean: float) -> Shift:
    import numpy as np

    counts = counts[:, counts.sum(axis=0) > 0]
    shares = counts / counts.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if counts.shape[1] < 2:
        return Shift(1.0, distance, counts.shape[1], reference_mean, current_mean)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    if float(expected.min()) < LEAST_EXPECTED:
        raise InputError(
            f"a class would hold {expected.min():.1f} rows of the smaller sample",
            field="classes",
            mend=f"compare more rows, or fewer classes: {LEAST_EXPECTED:.0f} rows a class are the least.",
        )
    found = float(((counts - expected) ** 2 / expected).sum())
    p_value = float(scipy_stats().chi2.sf(found, counts.shape[1] - 1))
    return Shift(p_value, distance, counts.shape[1], reference_mean, current_mean)
