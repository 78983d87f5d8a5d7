"""Rows of comma- and tab-separated text, line by line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from upath import UPath

from domain.errors import InputError
from resources.catalog.sources.reading import RawRow, RawTable, refuse_repeated

LONGEST_CELL = 10_000_000
"""Characters. Python's own limit of 128 KiB is below what is set aside, cell by cell, with a reason of its own."""


def read_delimited(lines: Iterable[str], delimiter: str, path: UPath) -> RawTable:
    """The table of a file whose first line is its header. Lines keep their ends.

    Raises:
        InputError: without a usable header; while the rows are read: a quote is opened and not closed where a cell
            ends, so that nobody knows where the next row begins.
    """
    csv.field_size_limit(LONGEST_CELL)
    rows = _split(lines, delimiter, path)
    _, cells, problem = next(rows, (1, [], None))
    if problem:
        raise InputError(f"the header is {problem}", file=str(path), row=1, mend="name the columns in line 1.")
    columns = _columns(cells, path)
    return RawTable(columns, _rows(rows, columns))


def _rows(rows: Iterator[tuple[int, list[str], str | None]], columns: tuple[str, ...]) -> Iterator[RawRow]:
    for number, cells, problem in rows:
        if problem is None and not cells:
            continue
        if problem is None and len(cells) != len(columns):
            problem = f"the row has {len(cells)} cells, the header {len(columns)}"
        yield RawRow(number, dict(zip(columns, cells, strict=False)), problem)


def _split(lines: Iterable[str], delimiter: str, path: UPath) -> Iterator[tuple[int, list[str], str | None]]:
    """Of every row: the line it begins in, its cells, and why they cannot be told apart."""
    # Where it is not strict, Python's reader takes all that follows an open quote for one cell, and says nothing.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _refuse_if_open(number, reader.line_num, str(error), path)
            yield number, [], f"not readable as CSV: {error}"
            continue
        yield number, cells, None


def _refuse_if_open(first: int, last: int, problem: str, path: UPath) -> None:
    at_end = problem == "unexpected end of data"
    if first == last and not at_end:
        return  # the line's own fault; the next row begins with the next line
    where = "the end of the file" if at_end else f"line {last} ({problem})"
    raise InputError(
        f"a quote of the row that begins in line {first} is still open at {where}",
        file=str(path),
        row=first,
        mend='close it there; a quote within a quoted cell is written twice ("").',
    )


def _columns(cells: list[str], path: UPath) -> tuple[str, ...]:
    if not any(name.strip() for name in cells):
        raise InputError("the file has no header line", file=str(path), row=1, mend="name the columns in line 1.")
    columns = tuple(name.strip() for name in cells)
    refuse_repeated(columns, path, row=1)
    return columns
