"""Reading samples: what every statistic here asks of its numbers before it counts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from domain.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

PAIRS_MEND = "compare both arms on the same rows, in the same order."


def score_array(scores: Sequence[float], field: str = "scores") -> FloatArray:
    """`scores` as an array.

    Raises:
        InputError: there is none, or one is outside 0 to 1 or NaN.
    """
    import numpy as np

    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        raise InputError("there is no score to look at", field=field, mend="evaluate at least one row.")
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        position = int(np.argmax(outside))
        raise InputError(
            f"the score {values[position]} of row {position + 1} is not between 0 and 1",
            field=field,
            mend="scale the evaluator's scores to 0 to 1.",
        )
    return values


def amount_array(amounts: Sequence[float], field: str) -> FloatArray:
    """Costs or latencies as an array.

    Raises:
        InputError: there is none, or one is negative, infinite or NaN.
    """
    import numpy as np

    values = np.asarray(amounts, dtype=np.float64)
    if not values.size:
        raise InputError("there is no row to look at", field=field, mend="evaluate at least one row.")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        position = int(np.argmax(bad))
        raise InputError(
            f"{values[position]} of row {position + 1} is not an amount of 0 or more",
            field=field,
            mend="correct the recorded figure.",
        )
    return values


def refuse_unpaired(candidate: FloatArray, production: FloatArray, field: str) -> None:
    """Refuse samples that cannot be paired by position.

    Raises:
        InputError: their lengths differ.
    """
    if candidate.size != production.size:
        raise InputError(
            f"the candidate has {candidate.size} rows and production {production.size}; they cannot be paired",
            field=field,
            mend=PAIRS_MEND,
        )


def check_share(value: float, field: str) -> None:
    """Refuse a probability that is not strictly between 0 and 1.

    Raises:
        InputError: it is not.
    """
    if not 0 < value < 1:
        raise InputError(
            f"{value} is not between 0 and 1, both excluded", field=field, mend="use a value such as 0.05."
        )


def is_binary(*samples: FloatArray) -> bool:
    """Every value of every sample is 0 or 1."""
    return all(bool(((values == 0) | (values == 1)).all()) for values in samples)
