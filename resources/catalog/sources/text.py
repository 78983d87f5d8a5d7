"""CSV, TSV and JSONL."""

from __future__ import annotations

import json
from io import StringIO

from upath import UPath

from domain.dataset import MAX_CELL_CHARACTERS
from domain.errors import InputError
from resources.catalog.sources.delimited import read_delimited
from resources.catalog.sources.reading import RawRow, RawTable
from resources.storage.reading import open_to_read


def read_csv(path: UPath) -> RawTable:
    """A comma-separated file with a header.

    Raises:
        InputError: not UTF-8, or as `read_delimited`.
    """
    return _read_delimited(path, ",")


def read_tsv(path: UPath) -> RawTable:
    """A tab-separated file with a header.

    Raises:
        InputError: not UTF-8, or as `read_delimited`.
    """
    return _read_delimited(path, "\t")


def read_jsonl(path: UPath) -> RawTable:
    """One JSON object a line; a line that is none becomes a row with a problem. A key that any object has is a column.

    Raises:
        InputError: not UTF-8, or without any object.
    """
    text = _read_utf8(path)
    rows = [_json_row(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if all(row.problem for row in rows):
        raise InputError("the file holds no JSON object", file=str(path), mend="write one JSON object per line.")
    columns = dict.fromkeys(name for row in rows for name in row.values)
    return RawTable(tuple(columns), iter(rows))


def _read_delimited(path: UPath, delimiter: str) -> RawTable:
    table = read_delimited(StringIO(_read_utf8(path), newline=""), delimiter, path)
    return RawTable(table.columns, (row for row in table.rows if not _is_blank(row)))


def _is_blank(row: RawRow) -> bool:
    """Spreadsheets end their files with rows of delimiters; in batches, where rows keep their places, they count."""
    return row.problem is None and not any(cell.strip() for cell in row.values.values())


def _json_row(number: int, line: str) -> RawRow:
    if len(line) > 10 * MAX_CELL_CHARACTERS:
        return RawRow(number, {}, f"the line has {len(line):,} characters")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return RawRow(number, {}, f"not JSON: {error}")
    if not isinstance(value, dict):
        return RawRow(number, {}, "not a JSON object")
    return RawRow(number, value)


def _read_utf8(path: UPath) -> str:
    try:
        with open_to_read(path) as stream:
            raw = stream.read()
    except OSError as error:
        raise InputError(f"cannot be read: {error}", file=str(path), mend="check path and rights.") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"byte {error.start} is not UTF-8", file=str(path), row=row, mend="save the file as UTF-8."
        ) from error
    if not text.strip():
        raise InputError("the file is empty", file=str(path), mend="add a header and rows.")
    return text
