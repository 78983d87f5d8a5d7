"""Rows that crossed the seal of the test split from one dataset version to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from domain.dataset import Row, Split, input_key


@dataclass(frozen=True, slots=True)
class SplitMoves:
    """How many rows of the later version came into `test` that were in another split, and how many the other way."""

    into_test: int
    out_of_test: int

    @property
    def any(self) -> bool:
        """Whether a row crossed the seal at all."""
        return self.into_test + self.out_of_test > 0


def split_moves(before: Sequence[Row], now: Sequence[Row]) -> SplitMoves:
    """Where the rows of `now` were in `before`.

    A row is known by its text in the input columns that both versions have; where no earlier row has that text, by its
    id: derived ids change with `dataset.inputs`, and declared ones stay while a text is corrected. Where most ids that
    both versions have stand for another text, they number the rows of a file anew, and tell of no row.
    """
    if not before or not now:
        return SplitMoves(0, 0)
    shared = before[0].inputs.keys() & now[0].inputs.keys()
    by_text: defaultdict[str, set[Split]] = defaultdict(set)
    if shared:
        for row in before:
            by_text[_text(row, shared)].add(row.split)
    by_id = _splits_by_id(before, now, shared)
    into_test = out_of_test = 0
    for row in now:
        earlier = by_text.get(_text(row, shared)) or by_id.get(row.row_id) or set[Split]()
        if row.split is Split.TEST:
            into_test += bool(earlier - {Split.TEST})
        else:
            out_of_test += Split.TEST in earlier
    return SplitMoves(into_test, out_of_test)


def _splits_by_id(before: Sequence[Row], now: Sequence[Row], shared: Collection[str]) -> dict[str, set[Split]]:
    earlier = {row.row_id: row for row in before}
    both = [(earlier[row.row_id], row) for row in now if row.row_id in earlier]
    kept = sum(_text(one, shared) == _text(other, shared) for one, other in both)
    return {row.row_id: {row.split} for row in before} if 2 * kept >= len(both) else {}


def _text(row: Row, shared: Collection[str]) -> str:
    return input_key({name: row.inputs[name] for name in shared})
