"""What every reader yields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


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
