"""From observations to a report: always valid, so that it may be made at any time and as often as anybody likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.experiment.guardrails import compare_amounts, path_times
from domain.experiment.observations import Observations
from domain.experiment.report import ArmFigures, PathPoint, Report, VariantComparison
from domain.experiment.spec import Experiment
from domain.experiment.verdict import give_verdict
from domain.statistics.evidence import p_value
from domain.statistics.sample_ratio import check_sample_ratio
from domain.statistics.two_arms import DifferenceStream, arm_stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.statistics.samples import FloatArray

PATH_POINTS = 60
_GUESS = 0.5


def analyse(experiment: Experiment, seen: Observations, *, points: int = PATH_POINTS) -> Report:
    """Compare every variant with the control.

    All comparisons and looks together name a false winner with probability ≤ `experiment.alpha`: each of the k
    variants is given α / k, and its confidence sequence holds at all looks.

    Args:
        points: how many points of each path to give.

    Raises:
        InputError: the observations have no epoch.
    """
    alpha = experiment.alpha / len(experiment.candidates)
    arms = tuple(_arm(seen, position, experiment.alpha) for position in range(len(seen.variants)))
    comparisons = tuple(
        _compare(experiment, seen, position, alpha, points) for position in range(1, len(seen.variants))
    )
    ratio = check_sample_ratio(seen.strata())
    return Report(
        experiment=experiment.name,
        metric=experiment.metric.name,
        control=experiment.control.name,
        analysed=sum(arm.analysed for arm in arms),
        arms=arms,
        sample_ratio=ratio,
        comparisons=comparisons,
        verdict=give_verdict(experiment, arms, comparisons, ratio),
    )


def _arm(seen: Observations, position: int, alpha: float) -> ArmFigures:
    import numpy as np

    own = seen.variant == position
    known = ~np.isnan(seen.outcome)
    outcomes = seen.outcome[own & known]
    low = high = None
    if outcomes.size:
        smallest = min(one.shares[position] for one in seen.epochs)
        share = seen.share_of(position)[known]
        stream = arm_stream(seen.outcome[known], own[known], share, guess=_GUESS, most=1.0, smallest_share=smallest).at(
            np.array([int(known.sum()) - 1])
        )
        below, above = stream.interval(alpha)
        low, high = max(0.0, float(below[0])), min(1.0, float(above[0]))
    return ArmFigures(
        variant=seen.variants[position],
        exposed=sum(one.exposed[position] for one in seen.epochs),
        analysed=int(outcomes.size),
        mean=float(outcomes.mean()) if outcomes.size else None,
        low=low,
        high=high,
        mean_cost_nano_usd=_mean(seen.cost[own]),
        mean_latency_s=_mean(seen.latency[own]),
    )


def _mean(values: FloatArray) -> float | None:
    import numpy as np

    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _compare(experiment: Experiment, seen: Observations, position: int, alpha: float, points: int) -> VariantComparison:

    pair = (seen.variant == position) | (seen.variant == 0)
    is_first = (seen.variant == position)[pair]
    ours, theirs = seen.share_of(position)[pair], seen.share_of(0)[pair]
    share, at = ours / (ours + theirs), seen.at[pair]
    smallest = _smallest_share(seen, position)
    cost, latency = (
        compare_amounts(
            values[pair], is_first, share, at, smallest_share=smallest, limit=limit, alpha=alpha, points=points
        )
        for values, limit in (
            (seen.cost, experiment.guardrails.max_cost_ratio),
            (seen.latency, experiment.guardrails.max_latency_ratio),
        )
    )
    path, log_wealth = _gain_path(seen.outcome[pair], is_first, share, at, smallest, alpha, points)
    last = path[-1] if path else None
    return VariantComparison(
        variant=seen.variants[position],
        units=last.units if last else 0,
        gain=last.estimate if last else None,
        low=last.low if last else -1.0,
        high=last.high if last else 1.0,
        confidence=1 - alpha,
        p_value=min(1.0, 2 * len(experiment.candidates) * p_value(log_wealth)),
        cost=cost,
        latency=latency,
        path=path,
    )


def _smallest_share(seen: Observations, position: int) -> float:
    """The smaller arm's share of the pair. It never shrinks while an experiment runs (see `weights_may_become`)."""
    first = seen.epochs[0].shares
    ours, theirs = first[position], first[0]
    return min(ours, theirs) / (ours + theirs)


def _gain_path(
    outcome: FloatArray,
    is_first: NDArray[np.bool_],
    share: FloatArray,
    at: FloatArray,
    smallest_share: float,
    alpha: float,
    points: int,
) -> tuple[tuple[PathPoint, ...], float]:
    """The gain over time, and the log-evidence that there is a difference."""
    import numpy as np

    known = ~np.isnan(outcome)
    outcome, is_first, share, at = outcome[known], is_first[known], share[known], at[known]
    if not is_first.any() or is_first.all():
        return (), 0.0
    times = path_times(outcome.size, points)
    first, second = (
        arm_stream(outcome, own, chance, guess=_GUESS, most=1.0, smallest_share=smallest_share).at(times)
        for own, chance in ((is_first, share), (~is_first, 1 - share))
    )
    stream = DifferenceStream(first, second)
    low, high = stream.interval(alpha)
    path = tuple(
        PathPoint(int(time) + 1, float(at[time]), float(estimate), max(-1.0, float(below)), min(1.0, float(above)))
        for time, estimate, below, above in zip(times, stream.estimate, low, high, strict=True)
    )
    wealth = max(
        float(stream.log_evidence_above(0.0)[-1]), float(DifferenceStream(second, first).log_evidence_above(0.0)[-1])
    )
    return path, wealth
