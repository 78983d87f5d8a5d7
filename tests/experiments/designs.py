"""Experiments and observations as tests need them."""

from __future__ import annotations

from typing import Any

import numpy as np

from domain.experiment.observations import Epoch, Observations
from domain.experiment.spec import Experiment

NAMES = ("control", "shorter", "warmer")


def experiment(variants: int = 2, **changes: Any) -> Experiment:
    """An experiment with `variants` arms of equal weight; `changes` replace fields."""
    arms = [{"name": name, "prompt": f"v{number}"} for number, name in enumerate(NAMES[:variants], start=1)]
    return Experiment.model_validate({"name": "wording", "task": "tickets", "variants": arms, **changes})


def observations(
    random: np.random.Generator,
    units: int,
    means: tuple[float, ...],
    *,
    shares: tuple[float, ...] | None = None,
    costs: tuple[float, ...] | None = None,
    latencies: tuple[float, ...] | None = None,
    drift: float = 0.0,
) -> Observations:
    """Units with 0/1 outcomes of these means; costs and latencies are lognormal, times these factors.

    `drift` is added to every arm's mean, linearly, over the whole time.
    """
    arms = len(means)
    shares = shares or (1 / arms,) * arms
    variant = random.choice(arms, units, p=shares)
    trend = drift * np.arange(units) / units
    outcome = (random.random(units) < np.array(means)[variant] + trend).astype(float)
    ones = (1.0,) * arms
    return Observations(
        variants=NAMES[:arms],
        epochs=(Epoch(shares, tuple(int((variant == arm).sum()) for arm in range(arms))),),
        variant=variant,
        epoch=np.zeros(units, np.int64),
        outcome=outcome,
        cost=1e6 * random.lognormal(0, 0.5, units) * np.array(costs or ones)[variant],
        latency=random.lognormal(-1, 0.5, units) * np.array(latencies or ones)[variant],
        at=1e9 + np.arange(units, dtype=float),
    )


def first(seen: Observations, units: int) -> Observations:
    """What was known when `units` units had been analysed."""
    arms = len(seen.variants)
    variant = seen.variant[:units]
    exposed = tuple(int((variant == arm).sum()) for arm in range(arms))
    return Observations(
        seen.variants,
        (Epoch(seen.epochs[0].shares, exposed),),
        variant,
        seen.epoch[:units],
        seen.outcome[:units],
        seen.cost[:units],
        seen.latency[:units],
        seen.at[:units],
    )
