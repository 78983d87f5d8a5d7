"""Quality against cost, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upath import UPath

from resources.compression.run import Compression
from resources.storage.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, HIGHLIGHT, PALE = "#2b3a55", "#2a9d8f", "#a9b4c6"


def draw_front(found: Compression, path: UPath) -> UPath:
    """Write `front_figure` as an SVG; gives `path`.

    Raises:
        OSError: it cannot be written.
    """
    figure = front_figure(found)
    write_atomically(path, lambda stream: figure.savefig(stream, format="svg", facecolor="white"))
    return path


def front_figure(found: Compression) -> Figure:
    """All trials on dev, score against cost, with the front through the best of them; the chosen one is the largest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    chosen = found.chosen.id if found.chosen else None
    front = found.front
    axes.plot([_cost(one.cost_nano_usd) for one in front], [100 * one.score for one in front], color=HIGHLIGHT)
    for position, one in enumerate(found.trials):
        on_front = one in front
        colour = INK if position == 0 else HIGHLIGHT if on_front else PALE
        size = 11 if one.prompt_version_id == chosen else 7
        axes.plot([_cost(one.cost_nano_usd)], [100 * one.score], "o", color=colour, markersize=size)
        if on_front or position == 0:
            label = "production" if position == 0 else one.change
            place = (_cost(one.cost_nano_usd), 100 * one.score)
            offset, side = ((0, 9), "center") if position == 0 else ((6, -11), "left")
            axes.annotate(label, place, offset, textcoords="offset points", fontsize=8, ha=side)
    axes.margins(0.09, 0.1)
    axes.set_xlabel("cost of the dev split, USD")
    axes.set_ylabel("score on dev, %")
    axes.set_title("Quality against cost", loc="left", fontsize=11)
    for border in ("top", "right"):
        axes.spines[border].set_visible(False)
    return figure


def _cost(nano_usd: int) -> float:
    return nano_usd / 1e9
