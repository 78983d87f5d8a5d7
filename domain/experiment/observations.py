"""What an experiment has seen: one entry per unit, in the order of the units' first answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.statistics.sample_ratio import Stratum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.statistics.samples import FloatArray

    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Epoch:
    """A time during which the weights stayed the same.

    Attributes:
        shares: each variant's share, in their order, control first.
        exposed: units per variant that had their first answer in it, those still under way included.
    """

    shares: tuple[float, ...]
    exposed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Observations:
    """The units whose window has closed. Position i of every array is the same unit.

    Attributes:
        variants: names, control first.
        variant: index into `variants`.
        epoch: index into `epochs`.
        outcome: 0 to 1; NaN where the unit has none that counts.
        cost: nano-USD per answer of the unit, in the mean.
        latency: seconds per answer of the unit, in the mean.
        at: epoch seconds of the unit's first answer.
    """

    variants: tuple[str, ...]
    epochs: tuple[Epoch, ...]
    variant: IntArray
    epoch: IntArray
    outcome: FloatArray
    cost: FloatArray
    latency: FloatArray
    at: FloatArray

    def strata(self) -> tuple[Stratum, ...]:
        """Exposed units per epoch, for the sample-ratio check."""
        return tuple(Stratum(one.exposed, one.shares) for one in self.epochs)

    def share_of(self, position: int) -> FloatArray:
        """For every unit the probability it had of getting the variant at `position`."""
        import numpy as np

        return np.array([one.shares[position] for one in self.epochs])[self.epoch]
