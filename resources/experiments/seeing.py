"""From recorded interactions and outcomes to what an analysis may see at one moment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from domain.experiment.observations import Epoch, Observations
from domain.identity import canonical_json
from resources.database.repositories import interactions, outcomes
from resources.database.repositories.interactions import SeenInteraction
from resources.database.session import Database
from resources.experiments.started import Started


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """Where every interaction and outcome went.

    Attributes:
        answers: interactions in all.
        units: units with an answer.
        waiting: of these, units whose window is still open.
        without_outcome: units whose window closed without an outcome that counts.
        crossed: units that were answered by more than one variant; their first one counts.
        after_stop: answers given after the stop, which do not count.
        counted: outcomes that count, or will when the window closes.
        early, late: outcomes before the unit's first answer, and after its window.
        unknown: outcomes of units that got no answer.
    """

    answers: int
    units: int
    waiting: int
    without_outcome: int
    crossed: int
    after_stop: int
    counted: int
    early: int
    late: int
    unknown: int


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    def value(self, missing: float) -> float:
        return self.total / self.count if self.count else missing


@dataclass(slots=True)
class _Unit:
    variant: int
    epoch: int
    at: float
    answers: int = 0
    crossed: bool = False
    cost: _Mean = field(default_factory=_Mean)
    latency: _Mean = field(default_factory=_Mean)
    outcome: _Mean = field(default_factory=_Mean)


@dataclass(frozen=True, slots=True)
class Seen:
    """Observations, how they came about, and the SHA-256 of exactly them."""

    observations: Observations
    bookkeeping: Bookkeeping
    content_id: str


def see(database: Database, started: Started, now: datetime) -> Seen:
    """Everything recorded of a started experiment, as an analysis at `now` may see it.

    A unit belongs to the variant of its first answer. It is analysed once its window has closed, in the order of first
    answers: which units are in then depends on nothing that a variant did. Its outcome is the mean of those that
    happened within the window; its cost and latency are those of its answers within it.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
    """
    window_s = 3600 * started.experiment.metric.window_hours
    units, ignored = _read_units(database, started, window_s)
    counts = _add_outcomes(database, started, units, window_s)
    closed_until = now.timestamp() - window_s
    closed = [unit for unit in units.values() if unit.at <= closed_until]
    books = Bookkeeping(
        answers=sum(unit.answers for unit in units.values()),
        units=len(units),
        waiting=len(units) - len(closed),
        without_outcome=sum(not unit.outcome.count for unit in closed),
        crossed=sum(unit.crossed for unit in units.values()),
        after_stop=ignored,
        **counts,
    )
    observed = _observations(started, list(units.values()), closed)
    return Seen(observed, books, _digest(observed))


def _read_units(database: Database, started: Started, window_s: float) -> tuple[dict[str, _Unit], int]:
    names = {variant.name: position for position, variant in enumerate(started.experiment.variants)}
    stopped = started.record.stopped_at
    units: dict[str, _Unit] = {}
    ignored = 0
    with database.session(read_only=True) as session:
        for one in interactions.in_order(session, started.experiment.name):
            if stopped is not None and one.at > stopped:
                ignored += 1
                continue
            at = one.at.timestamp()
            unit = units.get(one.unit_id)
            if unit is None:
                unit = units[one.unit_id] = _Unit(names[one.variant], started.epoch_at(one.at), at)
            _count_answer(unit, one, names[one.variant], inside=at < unit.at + window_s)
    return units, ignored


def _count_answer(unit: _Unit, one: SeenInteraction, variant: int, *, inside: bool) -> None:
    unit.answers += 1
    unit.crossed |= variant != unit.variant
    if not inside or variant != unit.variant:
        return
    if one.cost_nano_usd is not None:
        unit.cost.add(one.cost_nano_usd)
    if one.latency_s is not None:
        unit.latency.add(one.latency_s)


def _add_outcomes(database: Database, started: Started, units: dict[str, _Unit], window_s: float) -> dict[str, int]:
    counts = {"counted": 0, "early": 0, "late": 0, "unknown": 0}
    with database.session(read_only=True) as session:
        for one in outcomes.in_order(session, started.experiment.name):
            unit = units.get(one.unit_id)
            if unit is None:
                counts["unknown"] += 1
                continue
            after_s = one.at.timestamp() - unit.at
            if after_s < 0:
                counts["early"] += 1
            elif after_s >= window_s:
                counts["late"] += 1
            else:
                counts["counted"] += 1
                unit.outcome.add(one.value)
    return counts


def _observations(started: Started, units: list[_Unit], closed: list[_Unit]) -> Observations:
    import numpy as np

    names = tuple(variant.name for variant in started.experiment.variants)
    missing = 0.0 if started.experiment.metric.missing == "zero" else float("nan")
    return Observations(
        variants=names,
        epochs=tuple(_epoch(started, position, names, units) for position in range(len(started.epochs))),
        variant=np.array([unit.variant for unit in closed], np.int64),
        epoch=np.array([unit.epoch for unit in closed], np.int64),
        outcome=np.array([unit.outcome.value(missing) for unit in closed], np.float64),
        cost=np.array([unit.cost.value(float("nan")) for unit in closed], np.float64),
        latency=np.array([unit.latency.value(float("nan")) for unit in closed], np.float64),
        at=np.array([unit.at for unit in closed], np.float64),
    )


def _epoch(started: Started, position: int, names: tuple[str, ...], units: list[_Unit]) -> Epoch:
    shares = started.epochs[position].allocation.shares()
    exposed = [0] * len(names)
    for unit in units:
        if unit.epoch == position:
            exposed[unit.variant] += 1
    return Epoch(tuple(shares[name] for name in names), tuple(exposed))


def _digest(observed: Observations) -> str:
    arrays = (observed.variant, observed.epoch, observed.outcome, observed.cost, observed.latency, observed.at)
    digest = hashlib.sha256(canonical_json(list(observed.variants)).encode())
    for array in arrays:
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
