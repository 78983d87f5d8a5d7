"""Optimizers a task may name, what each needs, and how many calls it plans."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.errors import InputError
from domain.identity import content_id

OFFLINE_MODEL = "offline/nearest"

# MIPROv2 scores candidates on at most so many dev rows, by `auto`.
MIPRO_DEV_ROWS = {"light": 100, "medium": 300, "heavy": 1_000}
_MIPRO_SETS = {"light": 6, "medium": 12, "heavy": 18}
_MIPRO_ROWS_WITHOUT_MINIBATCH = 50
_MIPRO_MINIBATCH = 35


class _Optimizer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, description="Every random choice of the run follows from it.")
    threads: int = Field(default=4, ge=1, le=64, description="Concurrent rows; never changes the result.")
    dev_rows: int | None = Field(default=None, ge=1, description="Score candidates on at most this many dev rows.")
    reference_draws: int = Field(
        default=3, ge=0, le=20, description="Random-demonstration prompts drawn as a second baseline."
    )


class LabeledFewShotSpec(_Optimizer):
    """Random labelled rows as demonstrations; no call, no search. The baseline to beat."""

    kind: Literal["labeled_few_shot"] = "labeled_few_shot"
    demonstrations: int = Field(default=16, ge=1, le=512)


class RandomSearchSpec(_Optimizer):
    """DSPy BootstrapFewShotWithRandomSearch: draws many demonstration sets and keeps the best on dev."""

    kind: Literal["bootstrap_random_search"] = "bootstrap_random_search"
    candidates: int = Field(default=8, ge=1, le=200, description="Demonstration sets tried.")
    max_bootstrapped: int = Field(default=8, ge=0, le=512, description="Demonstrations answered by the prompt itself.")
    max_labeled: int = Field(default=16, ge=0, le=512, description="Demonstrations in all, labelled rows filling up.")


class MiproV2Spec(_Optimizer):
    """DSPy MIPROv2: proposes instructions with a model and searches instructions x demonstrations."""

    kind: Literal["mipro_v2"] = "mipro_v2"
    auto: Literal["light", "medium", "heavy"] = "light"
    max_bootstrapped: int = Field(default=4, ge=0, le=64)
    max_labeled: int = Field(default=4, ge=0, le=64)
    proposal_model: str | None = Field(
        default=None, description="Model that writes instructions; the task's by default."
    )

    @model_validator(mode="after")
    def _can_bootstrap(self) -> Self:
        if self.max_bootstrapped == 0 and self.max_labeled > 0:
            raise ValueError("mipro_v2 always bootstraps: set max_bootstrapped to 1 or more, or both to 0")
        return self


OptimizerSpec = Annotated[LabeledFewShotSpec | RandomSearchSpec | MiproV2Spec, Field(discriminator="kind")]


def optimization_run_id(
    prompt_version_id: str, dataset_version_id: str, optimizer: OptimizerSpec, metric: dict[str, Any], cap_nano_usd: int
) -> str:
    """SHA-256 of everything that decides a run's result; `threads` does not."""
    return content_id(
        {
            "prompt_version_id": prompt_version_id,
            "dataset_version_id": dataset_version_id,
            "optimizer": optimizer.model_dump(mode="json", exclude={"threads"}),
            "metric": metric,
            "cap_nano_usd": cap_nano_usd,
        }
    )


def check_optimizer(optimizer: OptimizerSpec, model: str) -> None:
    """Refuse an optimizer that needs a model which writes instructions where there is none.

    Raises:
        InputError: naming the field and the mend.
    """
    if isinstance(optimizer, MiproV2Spec) and (optimizer.proposal_model or model) == OFFLINE_MODEL:
        raise InputError(
            f"mipro_v2 needs a language model that writes instructions; {OFFLINE_MODEL} only reads demonstrations",
            field="optimizer.proposal_model",
            mend="name a language model there or in prompt.model, or use the optimizer bootstrap_random_search.",
        )


def planned_calls(optimizer: OptimizerSpec, train_rows: int, dev_rows: int, predictors: int = 1) -> int:
    """At most how many LM calls a run makes, dev scoring included; for dry runs and warnings.

    The bound is safe rather than tight: bootstrapping stops as soon as it has enough, and what is asked twice is paid
    once. It leaves out the second try DSPy makes of a proposal whose answer keeps to no format.
    """
    scored = dev_rows if optimizer.dev_rows is None else min(dev_rows, optimizer.dev_rows)
    if isinstance(optimizer, LabeledFewShotSpec):
        return 0
    if isinstance(optimizer, RandomSearchSpec):
        # On dev: the prompt, its plain, labelled and bootstrapped variants, and each drawn set.
        bootstraps = optimizer.candidates + 1 if optimizer.max_bootstrapped else 0
        return ((optimizer.candidates + 4) * scored + bootstraps * train_rows) * predictors
    return _planned_mipro_calls(optimizer, train_rows, min(scored, MIPRO_DEV_ROWS[optimizer.auto]), predictors)


def _planned_mipro_calls(optimizer: MiproV2Spec, train_rows: int, scored: int, predictors: int) -> int:
    """DSPy's arithmetic: sets of demonstrations, instructions and trials all follow from one number."""
    sets = _MIPRO_SETS[optimizer.auto]
    zero_shot = optimizer.max_bootstrapped == 0
    instructions = sets if zero_shot else sets // 2
    variables = predictors * (1 if zero_shot else 2)
    trials = int(max(2 * variables * math.log2(sets), 1.5 * sets))
    if scored <= _MIPRO_ROWS_WITHOUT_MINIBATCH:
        rows = (1 + trials) * scored
    else:
        rows = (1 + trials // 5 + 2) * scored + trials * _MIPRO_MINIBATCH
    proposals = 11 + 3 * instructions * predictors
    return (rows + (sets - 1) * train_rows) * predictors + proposals
