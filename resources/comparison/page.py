"""The comparison as one HTML file that needs nothing else: no network, no script, light or dark, wide or narrow."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from upath import UPath

from domain.identity import canonical_json, short_id
from domain.pricing import nano_to_usd
from resources.comparison.comparison import Comparison, Side
from resources.comparison.text_diff import compare_prompts
from resources.storage.atomic import write_atomically

FOLDER = "reports"
TEMPLATE = "comparison.html.j2"
SHOWN_FLIPS = 40
OPEN_LINES = 30


def render(comparison: Comparison) -> str:
    """The page. Rows and prompts may hold anything; all of it is escaped."""
    figures = comparison.figures
    return _template().render(
        one=comparison,
        sides=(comparison.before, comparison.after),
        figures=figures,
        paired=figures.paired if figures else None,
        reach=_reach(comparison),
        sections=compare_prompts(comparison.before.record.prompt, comparison.after.record.prompt),
        shown_flips=SHOWN_FLIPS,
        open_lines=OPEN_LINES,
    )


def write_page(comparison: Comparison, path: UPath) -> UPath:
    """Write the page to `path`, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    # Half a surrogate pair has no UTF-8; an answer that holds one must not cost the whole page.
    content = render(comparison).encode("utf-8", "backslashreplace")
    write_atomically(path, lambda stream: stream.write(content))
    return path


def _reach(comparison: Comparison) -> float:
    """Half the width of the difference's axis, in points of score: a round one that holds the interval."""
    figures = comparison.figures
    if figures is None:
        return 1.0
    widest = max(abs(figures.paired.low), abs(figures.paired.high))
    return next((step for step in (0.02, 0.05, 0.1, 0.2, 0.5) if widest <= step), 1.0)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(lambda name: files(__package__ or "").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent, points=_points, ratio=_ratio, value=_value, short=short_id, share=_share, p_value=_p_value
    )
    environment.globals.update(cost_per_thousand=_cost_per_thousand, seconds=_seconds)
    return environment.get_template(TEMPLATE)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")


def _share(value: float) -> str:
    """A position for CSS, kept inside the track."""
    return f"{100 * min(1.0, max(0.0, value)):.2f}%"


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def _ratio(value: float | None) -> str:
    if value is None:
        return "from nothing"
    return f"{100 * (value - 1):+.0f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _cost_per_thousand(side: Side) -> str:
    record = side.evaluation
    if record is None:
        return "–"
    return f"${nano_to_usd(record.summary['cost_nano_usd']) * 1000 / record.rows:.4f}"


def _seconds(side: Side, name: str) -> str:
    record = side.evaluation
    if record is None:
        return "–"
    value = float(record.summary[name])
    return f"{value:.2f}\N{NO-BREAK SPACE}s" if value >= 1 else f"{1000 * value:.1f}\N{NO-BREAK SPACE}ms"
