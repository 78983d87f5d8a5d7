"""Holm's correction for several candidates against one production prompt."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import InputError


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm-adjusted p-values, in the order given; each is compared with the family's α itself.

    Equal to statsmodels' `multipletests(method="holm")`, whose import would load pandas for these lines.

    Raises:
        InputError: a value is not between 0 and 1.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, (p_value, position) in enumerate(sorted((value, place) for place, value in enumerate(p_values))):
        if not 0 <= p_value <= 1:
            raise InputError(f"{p_value} is not a p-value", field="p_values", mend="p-values lie between 0 and 1.")
        highest = max(highest, min(1.0, p_value * (len(p_values) - rank)))
        adjusted[position] = highest
    return tuple(adjusted)
