"""Several candidates against one production prompt on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from domain.statistics.holm import holm
from domain.statistics.paired import PairedComparison, compare_paired


@dataclass(frozen=True, slots=True)
class FamilyMember:
    """One candidate of several; `adjusted_p_value` is Holm's, to be held against the family's α itself."""

    name: str
    comparison: PairedComparison
    adjusted_p_value: float

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by attribute."""
        return asdict(self)


def compare_family(candidates: Mapping[str, Sequence[float]], production: Sequence[float]) -> tuple[FamilyMember, ...]:
    """Every candidate's scores (0 to 1) against production's, row by row, one-sided "is better", Holm-corrected.

    Of many candidates that are no better one looks better by chance; corrected, the chance that any of them passes is
    at most α.

    Raises:
        InputError: as `compare_paired`.
    """
    found = {name: compare_paired(scores, production) for name, scores in candidates.items()}
    adjusted = holm([comparison.p_value for comparison in found.values()])
    return tuple(
        FamilyMember(name, comparison, p_value)
        for (name, comparison), p_value in zip(found.items(), adjusted, strict=True)
    )
