"""Markdown tables and money as people read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from domain.pricing import nano_to_usd

MAX_CELL = 160
_BREAKS = re.compile(r"[ \t\r\n\f\v\u2028\u2029]+")  # spaces that do not break are kept


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A GitHub-flavoured table; long cells are cut, line breaks and bars made harmless."""
    lines = [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows)]
    return "\n".join(lines)


def dollars(nano_usd: int) -> float:
    """USD as a float, for metadata that Dagster plots over time. Books are kept in nano-USD."""
    return float(nano_to_usd(nano_usd))


def percent(share: float) -> str:
    """`0.1234` as `12.3 %`, with a space that does not break."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def with_interval(mean: float, low: float, high: float) -> str:
    """`32.6 % (20.9 – 47.0)`, with spaces that do not break: a page's tables are narrow."""
    told = f"{percent(mean)} ({100 * low:.1f} –\N{WORD JOINER} {100 * high:.1f})"
    return told.replace(" ", "\N{NO-BREAK SPACE}")


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(value: Any) -> str:
    text = _BREAKS.sub(" ", str(value)).strip().replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
