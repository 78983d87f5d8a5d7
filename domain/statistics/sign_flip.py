"""The paired permutation test: were the arms the same, each row's difference could as well have had the other sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.statistics.samples import FloatArray

_BLOCK_VALUES = 2_000_000
_TIE = 1e-12


def sign_flip_p_value(differences: FloatArray, *, resamples: int, seed: int) -> float:
    """One-sided p-value of "the mean difference is above 0".

    Equal to `scipy.stats.permutation_test(..., permutation_type="samples")` on the differences: every sign pattern
    where there are at most `resamples` of them, else `resamples` random ones plus the observed. It is written out
    here because a product of a matrix of signs takes a tenth of the time, and a gate flips for several tests.
    """
    import numpy as np

    sizes = np.abs(differences[differences != 0])
    if not sizes.size:
        return 1.0
    # Flipping a row takes twice its size off the largest possible sum; the observed pattern flips the losses.
    observed = float(-differences[differences < 0].sum()) * (1 + _TIE) + _TIE * float(sizes.sum())
    if sizes.size < 63 and 2**sizes.size <= resamples:
        flipped = np.zeros(1)
        for size in sizes:
            flipped = np.concatenate([flipped, flipped + size])
        return float(np.mean(flipped <= observed))
    return (_random_patterns(sizes, observed, resamples, seed) + 1) / (resamples + 1)


def _random_patterns(sizes: FloatArray, observed: float, resamples: int, seed: int) -> int:
    import numpy as np

    random = np.random.default_rng(seed)
    block = max(1, _BLOCK_VALUES // sizes.size)
    as_good = 0
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        bits = random.integers(0, 256, size=(rows, (sizes.size + 7) // 8), dtype=np.uint8)
        flips = np.unpackbits(bits, axis=1, count=sizes.size).astype(np.float64)
        as_good += int(np.count_nonzero(flips @ sizes <= observed))
    return as_good
