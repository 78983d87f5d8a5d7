"""Writing for people (tables) or for programs (one JSON object)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 160


def console() -> Console:
    """Standard output. Made anew each time: whoever redirected it meanwhile is respected."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)


def error_console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


def emit(as_json: bool, value: Mapping[str, Any], show: Callable[[Console], None]) -> None:
    """Print `value` as one JSON object, or what `show` prints."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))
    else:
        show(console())


def table(
    title: str | None,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> Table:
    """A table; the columns in `right` are right-aligned, and like those in `whole` never broken over lines.

    Cells are shown as written; a `Text` keeps its style.
    """
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in right or column in whole,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def facts(pairs: Mapping[str, object]) -> Table:
    """Names and values, one pair a line."""
    made = Table(show_header=False, box=None, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        made.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return made


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")
