"""Whether an experiment can end in a winner at all, before anybody is dealt to it."""

from __future__ import annotations

from domain.errors import InputError
from domain.experiment.allocation import bucket_quotas
from domain.experiment.analysis import analyse
from domain.experiment.observations import Epoch, Observations
from domain.experiment.spec import Experiment

ALWAYS_ENOUGH = 50_000
"""Units that need no closer look: a variant with the smallest share allowed then has 500 of its own."""


def refuse_undecidable(experiment: Experiment) -> None:
    """Return only if `max_units` are enough for the clearest outcome there is: the control always 0, others always 1.

    Confidence sequences need room to be valid at every look; with too few units, or too small a share, even that
    outcome is given up as undecided.

    Raises:
        InputError: they are not.
    """
    most = experiment.max_units
    if most is None or most >= ALWAYS_ENOUGH:
        return
    report = analyse(experiment, _clearest(experiment, most), points=2)
    if any(one.low > 0 for one in report.comparisons):
        return
    raise InputError(
        f"max_units is {most:,}, and so few units of {len(experiment.variants)} variants decide nothing at an alpha of "
        f"{experiment.alpha:.2g}, not even where one always succeeds and the other never does",
        field="experiment.max_units",
        mend="raise max_units, even out the weights, or leave max_units out.",
    )


def _clearest(experiment: Experiment, units: int) -> Observations:
    """Units dealt as evenly over time as the weights allow."""
    import numpy as np

    names = tuple(variant.name for variant in experiment.variants)
    quotas = bucket_quotas(experiment.weights())
    shares = np.array([quotas[name] for name in names], np.float64)
    shares /= shares.sum()
    # The middles of each variant's equal steps, in order: variant v gets every (1 / share)-th unit.
    steps = [(np.arange(1, max(1, round(share * units)) + 1) - 0.5) / share for share in shares]
    order = np.argsort(np.concatenate(steps), kind="stable")
    variant = np.repeat(np.arange(len(names)), [step.size for step in steps])[order]
    unknown = np.full(variant.size, np.nan)
    exposed = tuple(int(count) for count in np.bincount(variant, minlength=len(names)))
    return Observations(
        variants=names,
        epochs=(Epoch(tuple(float(share) for share in shares), exposed),),
        variant=variant.astype(np.int64),
        epoch=np.zeros(variant.size, np.int64),
        outcome=(variant > 0).astype(np.float64),
        cost=unknown,
        latency=unknown,
        at=np.arange(variant.size, dtype=np.float64),
    )
