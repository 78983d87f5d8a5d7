"""The gate: the rule that turns a paired comparison into promote or reject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InputError
from domain.evaluators.judge_spec import PairwiseJudgeSpec
from domain.statistics.alpha_spending import alpha_for_look
from domain.statistics.intervals import RESAMPLES
from domain.statistics.non_inferiority import non_inferiority_p_value
from domain.statistics.paired import PairedComparison, compare_paired
from domain.statistics.power import minimum_detectable_effect
from domain.statistics.samples import PAIRS_MEND, amount_array
from domain.statistics.saving import median_ratio, saving_p_value, total_ratio

Verdict = Literal["promote", "reject", "keep"]
Route = Literal["superior", "not_worse_and_cheaper"]

MOST_RESAMPLES = 200_000
_ROUNDING = 1e-9


class GateRule(BaseModel):
    """What a candidate must show on the sealed test split before it replaces production."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Risk of promoting noise, over all looks together.")
    min_gain: float = Field(default=0.0, ge=0, le=1, description="Smallest gain in score worth a promotion.")
    non_inferiority_margin: float | None = Field(
        default=None, gt=0, lt=1, description="Allows 'not worse by more than this, and significantly cheaper'."
    )
    min_saving: float = Field(default=0.05, ge=0.05, lt=1, description="Significant saving that counts as cheaper.")
    max_cost_ratio: float | None = Field(default=None, gt=0, description="Candidate cost / production cost at most.")
    max_latency_ratio: float | None = Field(default=None, gt=0, description="Same, of the median latency.")
    pairwise: PairwiseJudgeSpec | None = Field(
        default=None, description="Compare by a judge that sees both answers, instead of by the metric's scores."
    )
    max_unscored: float = Field(
        default=0.02, ge=0, lt=1, description="Share of rows without a score, in either arm, that nothing passes above."
    )


@dataclass(frozen=True, slots=True)
class ArmResults:
    """One arm's results; position i of every sequence, in both arms, is the same row.

    Attributes:
        scores: 0 to 1.
        costs: nano-USD per row, over all its calls (a cached answer at its origin's cost).
        latencies: seconds per row (a cached answer at its origin's latency).
    """

    scores: Sequence[float]
    costs: Sequence[int]
    latencies: Sequence[float]


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What the gate decided and everything it went by.

    Attributes:
        route: how the candidate earned its promotion; None where it did not.
        reason: one paragraph for people, with the figures.
        look: the how manieth look at these rows this was.
        alpha_spent: this look's share of the rule's α.
        alpha_per_route: what each open route may spend of it.
        non_inferiority_p_value, saving_p_value: None where the rule has no margin.
        minimum_detectable_effect: smallest gain these rows would have shown with 80 % power; None if none.
        cost_ratio: candidate's bill / production's; None where production cost nothing and the candidate did.
        latency_ratio: the same of the median latencies.
        guardrail_failures: one sentence per limit of the rule that was passed.
    """

    verdict: Verdict
    route: Route | None
    reason: str
    comparison: PairedComparison
    look: int
    alpha_spent: float
    alpha_per_route: float
    non_inferiority_p_value: float | None
    saving_p_value: float | None
    minimum_detectable_effect: float | None
    cost_ratio: float | None
    latency_ratio: float | None
    guardrail_failures: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by attribute."""
        return {**asdict(self), "guardrail_failures": list(self.guardrail_failures)}


def decide(rule: GateRule, candidate: ArmResults, production: ArmResults, look: int, *, seed: int = 0) -> GateDecision:
    """Promote or reject, at look number `look` (from 1) at these rows.

    Were the arms the same, all routes and all looks together promote with probability ≤ `rule.alpha`: a look spends
    its share of α (`alpha_for_look`), halved where the rule's margin opens the second route. The superior route needs
    a significant gain that is also at least `min_gain` as observed; the other a loss significantly below the margin
    and a saving significantly above `min_saving`, each at the route's α. Limits on cost and latency hold for both.

    Raises:
        InputError: no row, arms that cannot be paired, a figure out of its range, or `look` below 1.
    """
    _refuse_unequal(candidate, production)
    alpha = alpha_per_route(rule, look)
    resamples = min(MOST_RESAMPLES, max(RESAMPLES, ceil(20 / alpha)))
    comparison = compare_paired(candidate.scores, production.scores, resamples=resamples, seed=seed)
    not_worse, saving = _not_worse_and_cheaper(rule, candidate, production, resamples, seed)
    cost_ratio = total_ratio(candidate.costs, production.costs)
    latency_ratio = median_ratio(candidate.latencies, production.latencies)
    failures = _guardrail_failures(rule, cost_ratio, latency_ratio)
    route = None if failures else _route(rule, comparison, not_worse, saving, alpha)
    decision = GateDecision(
        verdict="promote" if route else "reject",
        route=route,
        reason="",
        comparison=comparison,
        look=look,
        alpha_spent=alpha_for_look(rule.alpha, look),
        alpha_per_route=alpha,
        non_inferiority_p_value=not_worse,
        saving_p_value=saving,
        minimum_detectable_effect=_detectable(comparison, alpha),
        cost_ratio=cost_ratio,
        latency_ratio=latency_ratio,
        guardrail_failures=failures,
    )
    return replace(decision, reason=_explain(rule, decision))


def alpha_per_route(rule: GateRule, look: int) -> float:
    """What each of the rule's open routes may spend at look number `look`: the look's share, halved for two.

    Raises:
        InputError: `look` is below 1.
    """
    spent = alpha_for_look(rule.alpha, look)
    return spent if rule.non_inferiority_margin is None else spent / 2


def _refuse_unequal(candidate: ArmResults, production: ArmResults) -> None:
    rows = len(candidate.scores)
    for arm, results in (("candidate", candidate), ("production", production)):
        amount_array(results.costs, f"{arm}.costs")
        amount_array(results.latencies, f"{arm}.latencies")
        for field in ("scores", "costs", "latencies"):
            length = len(getattr(results, field))
            if length != rows:
                raise InputError(
                    f"there are {rows} candidate scores and {length} {arm} {field}; they cannot be paired",
                    field=f"{arm}.{field}",
                    mend=PAIRS_MEND,
                )


def _not_worse_and_cheaper(
    rule: GateRule, candidate: ArmResults, production: ArmResults, resamples: int, seed: int
) -> tuple[float | None, float | None]:
    margin = rule.non_inferiority_margin
    if margin is None:
        return None, None
    return (
        non_inferiority_p_value(candidate.scores, production.scores, margin, resamples=resamples, seed=seed),
        saving_p_value(candidate.costs, production.costs, rule.min_saving, resamples=resamples, seed=seed),
    )


def _route(
    rule: GateRule, comparison: PairedComparison, not_worse: float | None, saving: float | None, alpha: float
) -> Route | None:
    if comparison.p_value <= alpha and comparison.difference >= rule.min_gain - _ROUNDING:
        return "superior"
    if not_worse is not None and saving is not None and max(not_worse, saving) <= alpha:
        return "not_worse_and_cheaper"
    return None


def _guardrail_failures(rule: GateRule, cost_ratio: float | None, latency_ratio: float | None) -> tuple[str, ...]:
    return (
        *_guardrail("cost", cost_ratio, rule.max_cost_ratio),
        *_guardrail("median latency", latency_ratio, rule.max_latency_ratio),
    )


def _guardrail(name: str, ratio: float | None, limit: float | None) -> tuple[str, ...]:
    if limit is None or (ratio is not None and ratio <= limit):
        return ()
    times = "infinitely many" if ratio is None else f"{ratio:.3f}"
    return (f"{name} is {times} times production's, above the limit of {limit:g}",)


def _detectable(comparison: PairedComparison, alpha: float) -> float | None:
    if comparison.discordant_rate is not None:
        return minimum_detectable_effect(comparison.n, alpha=alpha, discordant_rate=comparison.discordant_rate)
    if comparison.difference_sd is None:
        return None
    return minimum_detectable_effect(comparison.n, alpha=alpha, sd=comparison.difference_sd)


def _explain(rule: GateRule, decision: GateDecision) -> str:
    found = decision.comparison
    head = (
        f"The candidate scores {found.candidate_mean:.3f} against production's {found.production_mean:.3f} on "
        f"{found.n} rows: {found.difference:+.3f} ({found.confidence:.0%} interval {found.low:+.3f} to "
        f"{found.high:+.3f})."
    )
    if decision.route == "superior":
        return f"{head} It is better: {_against(found.p_value, decision)}."
    if decision.route == "not_worse_and_cheaper":
        return (
            f"{head} It is not worse by {rule.non_inferiority_margin:g} "
            f"({_against(decision.non_inferiority_p_value, decision)}) and cheaper by {rule.min_saving:.0%} or more "
            f"({_against(decision.saving_p_value, decision)}); {_bill(decision.cost_ratio)}."
        )
    return " ".join([head, *_shortfalls(rule, decision)])


def _shortfalls(rule: GateRule, decision: GateDecision) -> list[str]:
    if decision.guardrail_failures:
        return [f"Refused: {failure}." for failure in decision.guardrail_failures]
    found = decision.comparison
    sentences = [f"That may be noise: {_against(found.p_value, decision)}."]
    if found.p_value <= decision.alpha_per_route:
        sentences = [f"That is significant, but below the smallest gain worth a promotion, {rule.min_gain:g}."]
    if decision.non_inferiority_p_value is not None:
        sentences.append(
            f"Nor is it shown to be not worse by {rule.non_inferiority_margin:g} "
            f"({_against(decision.non_inferiority_p_value, decision)}) and cheaper by {rule.min_saving:.0%} or more "
            f"({_against(decision.saving_p_value, decision)}); {_bill(decision.cost_ratio)}."
        )
    detectable = decision.minimum_detectable_effect
    sentences.append(
        "So few rows can show no gain at all."
        if detectable is None
        else f"These rows would show a true gain of {detectable:.3f} four times in five."
    )
    return sentences


def _against(p_value: float | None, decision: GateDecision) -> str:
    if p_value is None:
        return "not tested"
    sign = "≤" if p_value <= decision.alpha_per_route else ">"
    return f"p = {p_value:.4g} {sign} {decision.alpha_per_route:.4g} at look {decision.look}"


def _bill(ratio: float | None) -> str:
    if ratio is None:
        return "production cost nothing and the candidate does"
    return f"its bill is {abs(1 - ratio):.0%} {'lower' if ratio <= 1 else 'higher'}"
