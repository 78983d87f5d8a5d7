"""What an analysis says: figures by variant, comparisons with the control, a verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from domain.statistics.sample_ratio import SampleRatio

VerdictKind = Literal["continue", "winner", "futility", "guardrail", "mismatch"]
DECIDED: tuple[VerdictKind, ...] = ("winner", "futility", "guardrail")
"""Verdicts that end an experiment. A mismatch does not: a person must find what is broken."""


@dataclass(frozen=True, slots=True)
class PathPoint:
    """An estimate with its confidence sequence when `units` units had been analysed, at epoch second `at`."""

    units: int
    at: float
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One variant by itself.

    Attributes:
        exposed: units that were answered with it.
        analysed: of these, units whose window has closed and whose outcome counts.
        mean, low, high: of the outcome, with its confidence sequence; None before the first outcome.
        mean_cost_nano_usd, mean_latency_s: per answer.
    """

    variant: str
    exposed: int
    analysed: int
    mean: float | None
    low: float | None
    high: float | None
    mean_cost_nano_usd: float | None
    mean_latency_s: float | None


@dataclass(frozen=True, slots=True)
class RatioFigures:
    """A variant's mean cost or latency / the control's.

    Attributes:
        caps: of variant and control: values above count as it (see `guardrails`), in nano-USD or seconds.
        high: infinite where nothing is known.
        limit: the guardrail's, if there is one.
        broken: the ratio is shown to lie above the limit.
        path: over time.
    """

    ratio: float | None
    low: float
    high: float
    units: int
    caps: tuple[float, float]
    limit: float | None
    broken: bool
    path: tuple[PathPoint, ...]

    @property
    def within(self) -> bool:
        """As observed, the ratio keeps to its limit."""
        return self.limit is None or (self.ratio is not None and self.ratio <= self.limit)


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """A variant against the control.

    Attributes:
        gain: difference of the mean outcomes; None before there are outcomes of both.
        low, high: its confidence sequence at `confidence`, which holds at all looks together.
        p_value: always valid, two-sided, corrected for the number of variants: ≤ α if and only if 0 lies outside.
        cost, latency: None before there is enough to compare, or where the control's are all 0.
    """

    variant: str
    units: int
    gain: float | None
    low: float
    high: float
    confidence: float
    p_value: float
    cost: RatioFigures | None
    latency: RatioFigures | None
    path: tuple[PathPoint, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done, and why."""

    kind: VerdictKind
    variant: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """One analysis of one experiment."""

    experiment: str
    metric: str
    control: str
    analysed: int
    arms: tuple[ArmFigures, ...]
    sample_ratio: SampleRatio
    comparisons: tuple[VariantComparison, ...]
    verdict: Verdict

    def arm(self, variant: str) -> ArmFigures:
        """The figures of one variant."""
        return next(arm for arm in self.arms if arm.variant == variant)

    def comparison(self, variant: str) -> VariantComparison:
        """One variant against the control."""
        return next(one for one in self.comparisons if one.variant == variant)

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by attribute; what is infinite is None."""
        return _finite(asdict(self))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
