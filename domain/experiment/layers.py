"""Layers: experiments of one layer share its traffic without ever sharing a unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from domain.errors import InputError
from domain.experiment.allocation import bucket_of
from domain.experiment.spec import LayerRange


class Placed(Protocol):
    """Something with a name and a place in a layer."""

    @property
    def name(self) -> str: ...

    @property
    def layer(self) -> LayerRange: ...


def is_inside(layer: LayerRange, unit_id: str) -> bool:
    """Whether a unit belongs to this part of the layer. Independent of the variant it would get.

    Raises:
        InputError: the unit id cannot be used.
    """
    return layer.start <= bucket_of(f"layer/{layer.name}", unit_id) < layer.end


def overlapping(experiment: Placed, others: Iterable[Placed]) -> Placed | None:
    """The first of `others` that would share units with `experiment`; None where there is none."""
    mine = experiment.layer
    for other in others:
        theirs = other.layer
        if other.name == experiment.name or theirs.name != mine.name:
            continue
        if mine.start < theirs.end and theirs.start < mine.end:
            return other
    return None


def refuse_overlap(experiment: Placed, others: Iterable[Placed]) -> None:
    """Return only if `experiment` shares no unit with `others`.

    Raises:
        InputError: it does; the mend names the range that is taken.
    """
    other = overlapping(experiment, others)
    if other is None:
        return
    mine, theirs = experiment.layer, other.layer
    raise InputError(
        f"buckets {mine.start} to {mine.end} of layer {mine.name!r} overlap those of experiment {other.name!r}, "
        f"{theirs.start} to {theirs.end}",
        field="layer",
        mend="choose buckets that are free, another layer, or stop the other experiment.",
    )
