"""What every reader yields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as found. `number` is its 1-based line (text files) or row; `problem` says why it cannot be used."""

    number: int
    values: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RawTable:
    """The columns of a source and its rows, to be read once. Columns of JSONL are those of its first row."""

    columns: tuple[str, ...]
    rows: Iterator[RawRow]
