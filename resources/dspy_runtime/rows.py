"""Which rows a run works on, and in which order: a function of the rows and the seed, never of their source's order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from domain.dataset import Row, Split
from domain.errors import InputError
from domain.identity import content_id


def check_rows(train: Sequence[Row], dev: Sequence[Row]) -> None:
    """Refuse empty splits, and rows of another split: the test split is sealed.

    Raises:
        InputError: naming the split.
    """
    for split, rows in ((Split.TRAIN, train), (Split.DEV, dev)):
        if not rows:
            raise InputError(
                f"the {split} split has no row",
                field=f"dataset.split.{split}",
                mend="add rows, or give the split a larger fraction.",
            )
        for row in rows:
            if row.split is not split:
                raise InputError(
                    f"row {row.row_id} belongs to {row.split}, not to {split}",
                    mend="optimizers may see train and dev rows only.",
                )


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """`rows` in an order that `seed` and their content decide."""
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{content_id(row.content())}".encode()).digest())


def dev_subset(dev: Sequence[Row], seed: int, *limits: int | None) -> list[Row]:
    """At most as many dev rows as the smallest of `limits`, chosen and ordered by `seed`."""
    least = min((limit for limit in limits if limit is not None), default=len(dev))
    return shuffled(dev, seed)[:least]
