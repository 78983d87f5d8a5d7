"""What every reader yields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from upath import UPath

from domain.errors import InputError


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as found.

    Attributes:
        number: its 1-based line (text files) or row.
        values: by column.
        problem: why it cannot be used.
        unreadable: columns that `values` lacks because Python has no such value, each with the reason. That spoils the
            row only for who needs the column.
    """

    number: int
    values: dict[str, Any]
    problem: str | None = None
    unreadable: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RawTable:
    """The columns of a source and its rows, to be read once. Columns of JSONL are the keys of all its rows."""

    columns: tuple[str, ...]
    rows: Iterator[RawRow]


def refuse_repeated(columns: Sequence[str], path: UPath, row: int | None = None) -> None:
    """See that every column has a name of its own; `row` is the header's.

    Raises:
        InputError: a name stands twice.
    """
    if repeated := {name for name in columns if columns.count(name) > 1}:
        raise InputError(
            f"the header names {', '.join(sorted(repeated))!r} twice",
            file=str(path),
            row=row,
            mend="give every column a name of its own.",
        )
