"""How far two raters agree beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from domain.errors import InputError
from domain.statistics.untyped import cohens_kappa


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against people on the same answers.

    Attributes:
        accuracy: share of answers with the very same grade.
        kappa, low, high: Cohen's kappa (Cohen 1960) with its 95 % interval; 0 is chance, 1 is full agreement. None
            where all grades of both are one and the same, so that chance alone explains them; the interval alone where
            one of the two knows a single grade only.
        weighted_kappa: with quadratic weights (Cohen 1968): a near miss counts less than a far one.
        grades: names of the rows and columns of `confusion`.
        confusion: answers by the people's grade (row) and the judge's (column).
    """

    rows: int
    accuracy: float
    kappa: float | None
    low: float | None
    high: float | None
    weighted_kappa: float | None
    grades: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def deciding_kappa(self) -> float | None:
        """The weighted one where grades have an order to be near in, else the plain one."""
        return self.weighted_kappa if len(self.grades) > 2 else self.kappa

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by attribute."""
        return {**asdict(self), "grades": list(self.grades), "confusion": [list(row) for row in self.confusion]}


def agreement(people: Sequence[int], judge: Sequence[int], grades: Sequence[int]) -> Agreement:
    """The agreement of two raters who graded the same answers, paired by position, on the scale `grades`.

    Raises:
        InputError: nothing was graded, the lengths differ, or a grade is not on the scale.
    """
    if not people or len(people) != len(judge):
        raise InputError(f"{len(people)} and {len(judge)} grades cannot be paired", mend="grade the same answers.")
    place = {grade: number for number, grade in enumerate(grades)}
    outside = [grade for grade in (*people, *judge) if grade not in place]
    if outside:
        raise InputError(f"the grade {outside[0]} is not on the scale", mend=f"grades are {list(grades)}.")
    table = [[0] * len(grades) for _ in grades]
    for theirs, ours in zip(people, judge, strict=True):
        table[place[theirs]][place[ours]] += 1
    kappa, low, high = _kappa(table)
    return Agreement(
        rows=len(people),
        accuracy=sum(row[number] for number, row in enumerate(table)) / len(people),
        kappa=kappa,
        low=low,
        high=high,
        weighted_kappa=_kappa(table, wt="quadratic")[0],
        grades=tuple(grades),
        confusion=tuple(tuple(row) for row in table),
    )


def _kappa(table: list[list[int]], **weights: str) -> tuple[float | None, float | None, float | None]:
    used_by_people = sum(any(row) for row in table)
    used_by_judge = sum(any(column) for column in zip(*table, strict=True))
    if used_by_people == used_by_judge == 1 and any(row[number] for number, row in enumerate(table)):
        return None, None, None
    if 1 in (used_by_people, used_by_judge):
        return float(cohens_kappa(table, return_results=False, **weights)), None, None
    found = cohens_kappa(table, **weights)
    return float(found.kappa), float(found.kappa_low), float(found.kappa_upp)
