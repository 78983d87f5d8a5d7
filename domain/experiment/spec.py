"""The experiment as its YAML file says it: variants, metric, size, limits."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.errors import InputError
from domain.experiment.allocation import BUCKETS, bucket_quotas
from domain.identity import content_id
from domain.names import TASK_NAME_PATTERN

EXPERIMENT_NAME_PATTERN = TASK_NAME_PATTERN
SMALLEST_SHARE = 0.01
# Shares are whole buckets.
_ROUNDING = 1e-4

State = Literal["draft", "running", "stopped"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(_Part):
    """One arm: a prompt version of the task, by reference, and its weight."""

    name: str = Field(pattern=EXPERIMENT_NAME_PATTERN)
    prompt: str = Field(
        min_length=1, description="Version number (v3), alias (production) or id; fixed when the experiment starts."
    )
    weight: int = Field(default=1, ge=1, le=BUCKETS, description="Share of the units, beside the other weights.")


class LayerRange(_Part):
    """The part of a layer's traffic that an experiment gets: buckets `start` to `end` − 1 of 10,000."""

    name: str = Field(default="default", pattern=EXPERIMENT_NAME_PATTERN)
    start: int = Field(default=0, ge=0, lt=BUCKETS)
    end: int = Field(default=BUCKETS, gt=0, le=BUCKETS)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.start >= self.end:
            raise ValueError("start must be below end")
        return self


class Metric(_Part):
    """What an outcome is and when it counts."""

    name: str = Field(default="outcome", pattern=EXPERIMENT_NAME_PATTERN)
    kind: Literal["binary", "share"] = Field(
        default="binary", description="binary: outcomes are 0 or 1; share: anything between."
    )
    window_hours: float = Field(
        default=24.0,
        gt=0,
        le=24 * 366,
        description="An outcome counts when it happens within so many hours after the unit's first answer. A unit is "
        "analysed once its window has closed, so include the delay with which outcomes are delivered.",
    )
    missing: Literal["leave_out", "zero"] = Field(
        default="leave_out", description="What a unit without outcome counts as once its window has closed."
    )


class Guardrails(_Part):
    """Limits beside the metric; one that is significantly passed stops the experiment."""

    max_cost_ratio: float | None = Field(default=None, gt=0, le=1000, description="Variant's cost / control's at most.")
    max_latency_ratio: float | None = Field(default=None, gt=0, le=1000, description="Same, of the latency.")


class ExperimentDesign(_Part):
    """What is compared, by what, and how it ends: an experiment without its name and task."""

    description: str = ""
    variants: tuple[Variant, ...] = Field(min_length=2, max_length=20, description="The first one is the control.")
    layer: LayerRange = LayerRange()
    metric: Metric = Metric()
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Risk of a false winner, at all looks together.")
    min_units: int = Field(default=100, ge=10, description="Analysed units per variant before anything is decided.")
    max_units: int | None = Field(
        default=None, ge=20, description="Analysed units in all at which an undecided experiment is given up."
    )
    min_gain: float = Field(default=0.0, ge=0, le=1, description="Smallest gain worth a promotion.")
    guardrails: Guardrails = Guardrails()
    budget_usd: Annotated[Decimal, Field(gt=0)] | None = Field(
        default=None, description="Cap of the scope experiment:<name>."
    )
    stop: Literal["manual", "automatic"] = Field(
        default="automatic", description="`automatic` stops it once it is decided or a guardrail is broken."
    )
    promote: Literal["manual", "automatic"] = Field(
        default="manual", description="`automatic` moves the alias production to the winner."
    )

    def weights(self) -> dict[str, int]:
        """By variant, in order."""
        return {variant.name: variant.weight for variant in self.variants}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("two variants have the same name")
        smallest = min(bucket_quotas(self.weights()).values()) / BUCKETS
        if smallest < SMALLEST_SHARE:
            raise ValueError(f"a variant would get less than {SMALLEST_SHARE:.0%} of the units; raise its weight")
        if self.max_units is not None and self.max_units < self.min_units * len(names):
            raise ValueError("max_units is below min_units for every variant together")
        return self


class Experiment(ExperimentDesign):
    """One experiment file."""

    name: str = Field(pattern=EXPERIMENT_NAME_PATTERN, description="The partition key and the id of the budget scope.")
    task: str = Field(pattern=TASK_NAME_PATTERN)

    @property
    def spec_id(self) -> str:
        """SHA-256 of the whole specification."""
        return content_id(self.model_dump(mode="json"))

    @property
    def control(self) -> Variant:
        """The variant the others are compared with."""
        return self.variants[0]

    @property
    def candidates(self) -> tuple[Variant, ...]:
        """The variants that may win."""
        return self.variants[1:]

    @property
    def scope(self) -> str:
        """The budget scope of its calls."""
        return f"experiment:{self.name}"

    def variant(self, name: str) -> Variant | None:
        """The variant of that name."""
        return next((variant for variant in self.variants if variant.name == name), None)

    def caps(self) -> dict[str, Decimal]:
        """Its cap in USD by budget scope."""
        return {} if self.budget_usd is None else {self.scope: self.budget_usd}

    def design(self) -> dict[str, Any]:
        """What must not change while it runs, as JSON values: all but weights, words and switches."""
        value = self.model_dump(mode="json", exclude={"description", "stop", "promote", "budget_usd"})
        value["variants"] = [{"name": variant.name, "prompt": variant.prompt} for variant in self.variants]
        return value

    def refuse_shrunk_share(self, first: Mapping[str, float], now: Mapping[str, float]) -> None:
        """Return only if the analysis allows shares to become `now` after beginning as `first` (both by variant).

        Confidence sequences are made for the smallest share that a variant and the control have beside each other, and
        that must be known before the first unit. Raising a small share (a ramp) is always allowed.

        Raises:
            InputError: a variant would get a smaller share beside the control, or the control beside it, than either
                had at the start.
        """
        control = self.control.name
        for variant in self.candidates:
            smallest, becomes = (
                min(shares[variant.name], shares[control]) / (shares[variant.name] + shares[control])
                for shares in (first, now)
            )
            if becomes < smallest - _ROUNDING:
                raise InputError(
                    f"{variant.name} and {control} would be dealt {becomes:.1%} to {1 - becomes:.1%}; no more uneven "
                    f"than at the start, {smallest:.1%} to {1 - smallest:.1%}, is allowed",
                    field="variants",
                    mend="choose weights that are more even, or start a new experiment.",
                )
