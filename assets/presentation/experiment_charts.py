"""Pictures of an experiment: the gain over time, and the ratios of cost and latency beside their limits."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from assets.presentation.charts import DPI, HIGHLIGHT, INK, PALE
from domain.experiment.report import PathPoint, RatioFigures, Report
from domain.experiment.spec import Experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (HIGHLIGHT, INK, "#e76f51", "#8367c7", "#bc8a00", "#4f86c6")
LIMIT = "#c0392b"


def experiment_figure(experiment: Experiment, report: Report) -> Figure:
    """One picture of everything: gain with its confidence sequence, cost and latency ratio where there are any."""
    from matplotlib.figure import Figure

    ratios = [name for name in ("cost", "latency") if any(getattr(one, name) for one in report.comparisons)]
    heights = [3.4, *([2.4] * len(ratios))]
    figure = Figure(figsize=(7.6, sum(heights)), layout="constrained", dpi=DPI)
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_gain(axes[0], experiment, report)
    for one, name in zip(axes[1:], ratios, strict=True):
        _draw_ratio(one, name, report)
    axes[-1].set_xlabel("units analysed (variant and control)")
    return figure


def _draw_gain(axes: Axes, experiment: Experiment, report: Report) -> None:
    _prepare(axes, f"Gain in {report.metric} over {report.control}, with its confidence sequence")
    axes.axhline(0, color=PALE, linewidth=1)
    if experiment.min_gain:
        axes.axhline(experiment.min_gain, color=PALE, linewidth=1, linestyle="--")
    for colour, one in zip(_colours(len(report.comparisons)), report.comparisons, strict=True):
        _draw_path(axes, one.path, colour, one.variant)
    lows, highs = _seen_range(report)
    axes.set_ylim(lows, highs)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f} pts")
    _legend(axes, report)


def _seen_range(report: Report) -> tuple[float, float]:
    points = [point for one in report.comparisons for point in _later(one.path)]
    low = min((point.low for point in points), default=-1.0)
    high = max((point.high for point in points), default=1.0)
    room = 0.05 * (high - low)
    return max(-1.0, low - room), min(1.0, high + room)


def _later(path: Sequence[PathPoint]) -> list[PathPoint]:
    """All but the first tenth of the units: their intervals would fill the picture and say nothing."""
    return [point for point in path if 10 * point.units >= path[-1].units]


def _draw_ratio(axes: Axes, name: str, report: Report) -> None:
    found: list[tuple[str, RatioFigures]] = [
        (one.variant, getattr(one, name)) for one in report.comparisons if getattr(one, name)
    ]
    _prepare(axes, f"{name.capitalize()} / {report.control}'s")
    axes.axhline(1, color=PALE, linewidth=1)
    limit = next((ratio.limit for _, ratio in found if ratio.limit is not None), None)
    if limit is not None:
        axes.axhline(limit, color=LIMIT, linewidth=1.2, linestyle="--")
        axes.annotate(f"limit {limit:g}", (1, limit), (-2, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", fontsize=8, color=LIMIT)  # fmt: skip
    for colour, (variant, ratio) in zip(_colours(len(found)), found, strict=True):
        _draw_path(axes, ratio.path, colour, variant)
    shown = [ratio.high if isfinite(ratio.high) else 2 * (ratio.ratio or 1) for _, ratio in found]
    axes.set_ylim(0, 1.3 * max(*shown, limit or 0, 1.0))
    _legend(axes, report)


def _draw_path(axes: Axes, path: Sequence[PathPoint], colour: str, label: str) -> None:
    units = [point.units for point in path]
    highs = [point.high if isfinite(point.high) else 1e6 for point in path]
    axes.fill_between(units, [point.low for point in path], highs, color=colour, alpha=0.18, linewidth=0)
    axes.plot(units, [point.estimate for point in path], color=colour, linewidth=1.8, label=label)


def _prepare(axes: Axes, title: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", color="#e6e9ef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=11)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _legend(axes: Axes, report: Report) -> None:
    if len(report.comparisons) > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper right")


def _colours(count: int) -> list[str]:
    return [COLOURS[position % len(COLOURS)] for position in range(count)]
