"""The pictures of the dashboard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING

from assets.presentation.charts import HIGHLIGHT, INK, PALE, plain, short
from resources.metrics.dashboard import OTHERS, Dashboard, ScorePoint, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (INK, HIGHLIGHT, "#e76f51", "#8367c7", "#bc8a00", "#4f86c6", "#9c3d54", "#6b8e23")
WARNING = "#c0392b"
WIDTH = 8.4
SHOWN_SCORES = 9
# A cap that is used to this share is told as a warning by `health` too.
NEARLY_USED = 0.9


def cost_figure(found: Dashboard) -> Figure:
    """USD per day, stacked by task."""
    figure, axes = _canvas(2.9)
    bottom = [0.0] * len(found.days)
    for colour, band in zip(_colours(found.cost), found.cost, strict=True):
        heights = [value or 0.0 for value in band.values]
        axes.bar(_numbers(found.days), heights, bottom=bottom, color=colour, width=0.8, label=short(band.name))
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.yaxis.set_major_formatter(lambda value, _: f"${value:,.2f}" if max(bottom) < 100 else f"${value:,.0f}")
    _finish(axes, found.days, "Cost by day and task", legend=bool(found.cost))
    return figure


def latency_figure(found: Dashboard) -> Figure:
    """p95 per day of the busiest groups, on a logarithmic scale."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure, axes = _canvas(2.9)
    for colour, line in zip(_colours(found.latency), found.latency, strict=True):
        _line(axes, found.days, line, colour)
    if found.latency:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} s")
        axes.yaxis.set_minor_locator(NullLocator())
    _finish(axes, found.days, "Latency, p95 (task · purpose · model)", legend=bool(found.latency))
    return figure


def rates_figure(found: Dashboard) -> Figure:
    """Cache hits and fallbacks per day."""
    figure, axes = _canvas(2.2)
    _line(axes, found.days, Series("from the cache", found.hit_rate), HIGHLIGHT)
    _line(axes, found.days, Series("fallbacks", found.fallback_rate), WARNING)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    _finish(axes, found.days, "Answers from the cache, and canned answers", legend=True)
    return figure


def score_figure(found: Dashboard) -> Figure:
    """Every task's evaluations on the sealed test split with their intervals, one small picture per task."""
    from matplotlib.figure import Figure

    by_task: dict[tuple[str, str], list[ScorePoint]] = defaultdict(list)
    for point in found.scores:
        by_task[point.task, point.metric].append(point)
    latest = sorted(by_task, key=lambda key: by_task[key][-1].at, reverse=True)[:SHOWN_SCORES]
    columns = min(3, max(1, len(latest)))
    lines = max(1, -(-len(latest) // columns))
    figure = Figure(figsize=(WIDTH, 0.4 + 2.1 * lines), layout="constrained")
    panes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, key in zip(panes, sorted(latest), strict=False):
        _scores(axes, f"{short(key[0], 24)} ({key[1]})", by_task[key])
    for axes in panes[len(latest) :]:
        axes.set_axis_off()
    figure.suptitle("Scores on the sealed test split, with 95 % intervals", x=0.01, ha="left", fontsize=11)
    return figure


def budget_figure(found: Dashboard) -> Figure:
    """How much of each cap is used, the fullest first."""
    figure, axes = _canvas(0.9 + 0.32 * max(1, len(found.budgets)))
    names = [short(one.window) for one in reversed(found.budgets)]
    shares = [one.burned_nano_usd / max(one.cap_nano_usd, 1) for one in reversed(found.budgets)]
    # By place: of names that are cut to the same text, matplotlib would make one bar.
    axes.barh(range(len(names)), [1.0] * len(names), color="#eef1f6", height=0.62)
    axes.set_yticks(range(len(names)), names)
    axes.barh(
        range(len(names)), shares, color=[WARNING if share > NEARLY_USED else INK for share in shares], height=0.62
    )
    for position, (share, one) in enumerate(zip(shares, reversed(found.budgets), strict=True)):
        told = f"${one.burned_nano_usd / 1e9:,.2f} of ${one.cap_nano_usd / 1e9:,.2f} ({100 * share:.0f} %)"
        axes.annotate(plain(told), (1.02, position), va="center", fontsize=9, annotation_clip=False)
    axes.set_xlim(0, 1.5)
    axes.set_xticks([])
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(left=False, labelsize=9)
    axes.set_title("Budgets", loc="left", fontsize=11)
    return figure


def as_svg(figure: Figure) -> str:
    """The picture as an SVG element that can stand in a page; the same figures give the same text."""
    from matplotlib import rc_context

    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "promptory", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode()
    return text[text.index("<svg") :]


def _scores(axes: Axes, title: str, points: Sequence[ScorePoint]) -> None:
    for number, point in enumerate(points):
        last = number == len(points) - 1
        colour = HIGHLIGHT if last else PALE
        if point.low is not None and point.high is not None:
            axes.plot([number, number], [point.low, point.high], color=colour, linewidth=2)
        axes.plot([number], [point.score], "o", color=colour, markersize=5)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlim(-0.7, max(1, len(points)) - 0.3)
    axes.set_xticks([])
    axes.set_xlabel(f"{points[0].at:%d %b} – {points[-1].at:%d %b}", fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#e6e9ef", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _canvas(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _line(axes: Axes, days: Sequence[date], line: Series, colour: str) -> None:
    # NaN leaves a gap where a day has no value: nothing is drawn that was not measured.
    values = [float("nan") if value is None else value for value in line.values]
    axes.plot(_numbers(days), values, "o-", color=colour, linewidth=1.6, markersize=3.5, label=short(line.name))


def _finish(axes: Axes, days: Sequence[date], title: str, *, legend: bool) -> None:
    positions = _numbers(days)
    step = max(1, len(days) // 8)
    axes.set_xticks(positions[::-step][::-1], [f"{day:%d %b}" for day in days[::-step][::-1]], fontsize=9)
    axes.tick_params(axis="y", labelsize=9)
    axes.set_xlim(positions[0] - 0.6, positions[-1] + 0.6)
    axes.grid(axis="y", color="#e6e9ef", linewidth=0.8)
    axes.set_title(title, loc="left", fontsize=11)
    if legend:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _numbers(days: Sequence[date]) -> list[int]:
    return list(range(len(days)))


def _colours(series: Sequence[Series]) -> list[str]:
    return [PALE if one.name == OTHERS else COLOURS[number % len(COLOURS)] for number, one in enumerate(series)]
