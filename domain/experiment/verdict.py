"""The stop rule: winner, futility, broken guardrail, or go on."""

from __future__ import annotations

from collections.abc import Sequence

from domain.experiment.report import ArmFigures, RatioFigures, VariantComparison, Verdict
from domain.experiment.spec import Experiment
from domain.statistics.sample_ratio import SampleRatio


def give_verdict(
    experiment: Experiment,
    arms: Sequence[ArmFigures],
    comparisons: Sequence[VariantComparison],
    sample_ratio: SampleRatio,
) -> Verdict:
    """What the figures of one look say.

    - `guardrail`: a variant's cost or latency is shown to be above its limit. Needs no minimal sample.
    - `mismatch`: the units per variant are not what the weights give; nothing else is believed.
    - `winner`: the best variant whose confidence sequence lies above 0, whose gain is at least `min_gain` as observed,
      and whose cost and latency keep to their limits as observed.
    - `futility`: no variant can be better by `min_gain`, or `max_units` are analysed and nothing is decided.
    - `continue`: everything else.
    """
    broken = next((one for one in comparisons if _broken(one)), None)
    if broken is not None:
        return Verdict("guardrail", broken.variant, " ".join(_broken(broken)))
    if not sample_ratio.matches:
        return Verdict("mismatch", None, sample_ratio.sentence)
    fewest = min(arms, key=lambda arm: arm.analysed)
    if fewest.analysed < experiment.min_units:
        wanted = f"{experiment.min_units:,} analysed units per variant are wanted"
        return Verdict("continue", None, f"{wanted}; {fewest.variant} has {fewest.analysed:,}.")
    winners = [one for one in comparisons if _wins(experiment, one)]
    if winners:
        best = max(winners, key=lambda one: one.gain or 0.0)
        return Verdict("winner", best.variant, f"{_told(best)} It is better (always-valid p = {best.p_value:.2g}).")
    return _undecided(experiment, arms, comparisons)


def _undecided(experiment: Experiment, arms: Sequence[ArmFigures], comparisons: Sequence[VariantComparison]) -> Verdict:
    told = " ".join(_told(one) for one in comparisons)
    if all(one.high < experiment.min_gain or one.high < 0 for one in comparisons):
        wanted = f"by {experiment.min_gain:g} or more" if experiment.min_gain else "at all"
        return Verdict("futility", None, f"{told} No variant can be better {wanted}.")
    analysed = sum(arm.analysed for arm in arms)
    if experiment.max_units is not None and analysed >= experiment.max_units:
        return Verdict("futility", None, f"{told} After {analysed:,} units that is undecided; no more were wanted.")
    kept_back = [sentence for one in comparisons if one.low > 0 for sentence in _shortfalls(experiment, one)]
    return Verdict("continue", None, " ".join([told, *kept_back]))


def _wins(experiment: Experiment, one: VariantComparison) -> bool:
    return one.low > 0 and not _shortfalls(experiment, one)


def _shortfalls(experiment: Experiment, one: VariantComparison) -> list[str]:
    """Why a variant that is better is no winner."""
    sentences: list[str] = []
    if (one.gain or 0.0) < experiment.min_gain:
        sentences.append(f"{one.variant} gains less than {experiment.min_gain:g}.")
    for name, found in _ratios(one):
        if found is not None and not found.within:
            shown = "unknown" if found.ratio is None else f"{found.ratio:.2f}"
            sentences.append(f"The {name} ratio of {one.variant} is {shown}, above the limit of {found.limit:g}.")
    return sentences


def _broken(one: VariantComparison) -> list[str]:
    return [
        f"The {name} of {one.variant} is {found.ratio or 0:.2f} times the control's (at least {found.low:.2f}, "
        f"{one.confidence:.1%} confidence at all looks together), above the limit of {found.limit:g}."
        for name, found in _ratios(one)
        if found is not None and found.broken
    ]


def _ratios(one: VariantComparison) -> tuple[tuple[str, RatioFigures | None], ...]:
    return (("cost", one.cost), ("latency", one.latency))


def _told(one: VariantComparison) -> str:
    if one.gain is None:
        return f"{one.variant} has no outcomes yet."
    return (
        f"{one.variant} gains {one.gain:+.3f} over the control on {one.units:,} units ({one.confidence:.1%} confidence "
        f"sequence {one.low:+.3f} to {one.high:+.3f})."
    )
