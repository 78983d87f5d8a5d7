"""Small pictures as markdown images (PNG in a data URI), drawn without a display."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#2b3a55"
HIGHLIGHT = "#2a9d8f"
PALE = "#a9b4c6"
DPI = 110
NAME = 44


@dataclass(frozen=True, slots=True)
class ScoreBar:
    """One line of a score chart: a mean in 0..1 with its interval."""

    label: str
    mean: float
    low: float
    high: float
    highlighted: bool = False


def score_chart(title: str, bars: Sequence[ScoreBar]) -> str:
    """Means with their 95 % intervals, one line each."""
    figure, axes = canvas(height=0.9 + 0.45 * len(bars))
    for position, bar in enumerate(reversed(bars)):
        color = HIGHLIGHT if bar.highlighted else INK
        axes.plot([bar.low, bar.high], [position, position], color=color, linewidth=2.5, solid_capstyle="round")
        axes.plot([bar.mean], [position], "o", color=color, markersize=8, clip_on=False)
        axes.annotate(f"{100 * bar.mean:.1f} %", (bar.mean, position), (0, 8), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(bars)), [short(bar.label) for bar in reversed(bars)])
    axes.set_ylim(-0.6, len(bars) - 0.2)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_title(title, loc="left", fontsize=11)
    return as_markdown(figure, title)


def count_chart(title: str, counts: dict[str, int]) -> str:
    """Counts by name, largest first."""
    ordered = sorted(counts.items(), key=lambda item: item[1])[-40:]
    figure, axes = canvas(height=0.8 + 0.26 * len(ordered))
    axes.barh(range(len(ordered)), [count for _, count in ordered], color=INK)
    axes.set_yticks(range(len(ordered)), [short(name) for name, _ in ordered])
    axes.set_title(title, loc="left", fontsize=11)
    return as_markdown(figure, title)


@dataclass(frozen=True, slots=True)
class CostPoint:
    """One point of a scatter chart: a score in 0..1 and what it costs; only points with a label are named."""

    cost: float
    score: float
    label: str = ""
    highlighted: bool = False


def scatter_chart(title: str, points: Sequence[CostPoint], x_label: str) -> str:
    """Score against a cost, one point each."""
    figure, axes = canvas(height=3.2)
    axes.margins(0.06, 0.14)
    for one in sorted(points, key=lambda one: one.highlighted):
        axes.plot([one.cost], [one.score], "o", color=HIGHLIGHT if one.highlighted else PALE, markersize=8)
    middle = (min(one.cost for one in points) + max(one.cost for one in points)) / 2 if points else 0.0
    for one in points:
        side, offset = ("right", -6) if one.cost > middle else ("left", 6)
        place = (one.cost, one.score)
        axes.annotate(short(one.label), place, (offset, 7), textcoords="offset points", fontsize=9, ha=side)
    axes.set_xlabel(x_label)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_title(title, loc="left", fontsize=11)
    return as_markdown(figure, title)


def short(name: str, most: int = NAME) -> str:
    """A name of anybody's as a label: cut to `most` characters, and drawn as it is written."""
    one_line = " ".join(name.split())
    return plain(one_line if len(one_line) <= most else f"{one_line[: most - 1]}…")


def plain(text: str) -> str:
    """Text that is drawn as it is written: two dollar signs would make a formula of what is between them."""
    return text.replace("$", r"\$")


def canvas(height: float) -> tuple[Figure, Axes]:
    """An empty chart of `height` inches in the house's style."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", color="#e6e9ef", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def as_markdown(figure: Figure, title: str) -> str:
    """The chart as a markdown image."""
    return f"![{title}]({as_data_url(as_png(figure))})"


def as_png(figure: Figure) -> bytes:
    """The chart as a PNG file's content."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def as_data_url(png: bytes) -> str:
    """A PNG as the address of an image that needs no file beside it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
