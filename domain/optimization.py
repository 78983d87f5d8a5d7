"""Optimizers a task may name, and what each needs."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.errors import InputError
from domain.identity import content_id
from domain.prompt import MODEL_PATTERN

OFFLINE_MODEL = "offline/nearest"

# MIPROv2 scores candidates on at most so many dev rows, by `auto`.
MIPRO_DEV_ROWS = {"light": 100, "medium": 300, "heavy": 1_000}
_GEPA_CANDIDATES = {"light": 6, "medium": 12, "heavy": 18}
_GEPA_TRIES = 5
_GEPA_MINIBATCH = 35
_GEPA_FULL_EVERY = 5

Effort = Literal["light", "medium", "heavy"]


class _Run(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, description="Every random choice of the run follows from it.")
    dev_rows: int | None = Field(default=None, ge=1, description="Score candidates on at most this many dev rows.")
    reference_draws: int = Field(
        default=3, ge=0, le=20, description="Random-demonstration prompts drawn as a second baseline."
    )


class _Optimizer(_Run):
    threads: int = Field(default=4, ge=1, le=64, description="Calls under way at once; never changes the result.")


class _Writer(_Optimizer):
    """An optimizer that has a model write instructions."""

    proposal_model: str | None = Field(
        default=None,
        pattern=MODEL_PATTERN,
        description="Model that writes instructions; the task's own by default. A stronger one pays here.",
    )


class LabeledFewShotSpec(_Optimizer):
    """Random labelled rows as demonstrations; no call, no search. The baseline to beat."""

    kind: Literal["labeled_few_shot"] = "labeled_few_shot"
    demonstrations: int = Field(default=16, ge=1, le=512, description="Labelled rows shown.")


class BootstrapFewShotSpec(_Optimizer):
    """DSPy BootstrapFewShot: one set of demonstrations, answered right by the prompt itself. The cheapest search."""

    kind: Literal["bootstrap_few_shot"] = "bootstrap_few_shot"
    max_bootstrapped: int = Field(default=4, ge=1, le=512, description="Demonstrations answered by the prompt itself.")
    max_labeled: int = Field(default=16, ge=0, le=512, description="Demonstrations in all, labelled rows filling up.")
    max_rounds: int = Field(
        default=1, ge=1, le=10, description="Tries per train row; those after the first at temperature 1."
    )


class RandomSearchSpec(_Optimizer):
    """DSPy BootstrapFewShotWithRandomSearch: draws many demonstration sets and keeps the best on dev."""

    kind: Literal["bootstrap_random_search"] = "bootstrap_random_search"
    candidates: int = Field(default=8, ge=1, le=200, description="Demonstration sets tried.")
    max_bootstrapped: int = Field(default=8, ge=0, le=512, description="Demonstrations answered by the prompt itself.")
    max_labeled: int = Field(default=16, ge=0, le=512, description="Demonstrations in all, labelled rows filling up.")


class CoproSpec(_Writer):
    """DSPy COPRO: writes `breadth` instructions, scores them, writes better ones from the scores, `depth` times."""

    kind: Literal["copro"] = "copro"
    breadth: int = Field(default=6, ge=2, le=50, description="Instructions written per step and round.")
    depth: int = Field(default=3, ge=1, le=10, description="Rounds of writing and scoring.")
    temperature: float = Field(default=1.0, ge=0, le=2, description="Sampling temperature of the writing model.")


class MiproV2Spec(_Writer):
    """DSPy MIPROv2: proposes instructions with a model and searches instructions x demonstrations."""

    kind: Literal["mipro_v2"] = "mipro_v2"
    auto: Effort = Field(default="light", description="How many instructions, demonstration sets and trials.")
    max_bootstrapped: int = Field(default=4, ge=0, le=64, description="Demonstrations answered by the prompt itself.")
    max_labeled: int = Field(default=4, ge=0, le=64, description="Demonstrations in all, labelled rows filling up.")

    @model_validator(mode="after")
    def _can_bootstrap(self) -> Self:
        if self.max_bootstrapped == 0 and self.max_labeled > 0:
            raise ValueError("mipro_v2 always bootstraps: set max_bootstrapped to 1 or more, or both to 0")
        return self


class SimbaSpec(_Writer):
    """DSPy SIMBA: samples answers to train rows and turns the rows they differ on into rules and demonstrations."""

    kind: Literal["simba"] = "simba"
    steps: int = Field(default=4, ge=1, le=50, description="Batches of train rows worked through.")
    train_rows: int = Field(
        default=128, ge=2, le=10_000, description="Train rows it works on; its choices are scored on all of these."
    )
    batch_rows: int = Field(default=32, ge=2, le=512, description="Train rows per batch; all, where there are fewer.")
    candidates: int = Field(default=6, ge=2, le=50, description="Answers sampled per row, and candidates per step.")
    max_demonstrations: int = Field(
        default=4, ge=0, le=64, description="Demonstrations a step may hold; 0 learns rules alone."
    )


class GepaSpec(_Writer):
    """DSPy GEPA: rewrites instructions from what the evaluators say of wrong answers; keeps a Pareto front on dev."""

    kind: Literal["gepa"] = "gepa"
    auto: Effort = Field(default="light", description="How many rows are answered in all, unless max_rows says so.")
    max_rows: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Rows answered in all, those on dev included."
    )
    minibatch_rows: int = Field(default=3, ge=1, le=100, description="Train rows an instruction is rewritten from.")
    merge: bool = Field(default=True, description="Also combine the steps of good candidates (two steps or more).")


StageSpec = Annotated[
    LabeledFewShotSpec | BootstrapFewShotSpec | RandomSearchSpec | CoproSpec | MiproV2Spec | SimbaSpec | GepaSpec,
    Field(discriminator="kind"),
]


class ChainSpec(_Run):
    """Optimizers one after another, each from the winner so far: one run, one cap, one journal."""

    kind: Literal["chain"] = "chain"
    stages: tuple[StageSpec, ...] = Field(min_length=2, max_length=6, description="In the order in which they work.")

    @model_validator(mode="after")
    def _stages_share_the_rows(self) -> Self:
        own = {name: _Run.model_fields[name].default for name in ("dev_rows", "reference_draws")}
        for number, stage in enumerate(self.stages):
            for name, default in own.items():
                if getattr(stage, name) != default:
                    raise ValueError(
                        f"stages.{number} sets {name}, which belongs to the chain: candidates of all stages are scored "
                        "on the same rows"
                    )
        return self


OptimizerSpec = Annotated[
    LabeledFewShotSpec
    | BootstrapFewShotSpec
    | RandomSearchSpec
    | CoproSpec
    | MiproV2Spec
    | SimbaSpec
    | GepaSpec
    | ChainSpec,
    Field(discriminator="kind"),
]


def stages_of(optimizer: OptimizerSpec) -> tuple[StageSpec, ...]:
    """The optimizers that work one after another: a chain's stages, or the one there is."""
    return optimizer.stages if isinstance(optimizer, ChainSpec) else (optimizer,)


def proposal_model(stage: StageSpec, model: str) -> str | None:
    """The model that writes this stage's instructions; None where it writes none."""
    return (stage.proposal_model or model) if isinstance(stage, _Writer) else None


def scored_rows(optimizer: OptimizerSpec, dev_rows: int) -> int:
    """On how many of `dev_rows` rows every candidate is scored.

    MIPROv2 cuts the dev rows itself, by its own choice of them; cutting first lets the baseline and every candidate, of
    the other stages too, be scored on the same rows.
    """
    limits = [MIPRO_DEV_ROWS[stage.auto] for stage in stages_of(optimizer) if isinstance(stage, MiproV2Spec)]
    if optimizer.dev_rows is not None:
        limits.append(optimizer.dev_rows)
    return min([dev_rows, *limits])


def simba_depths(steps: int) -> tuple[int, ...]:
    """After which numbers of steps SIMBA's choice is scored on dev: 1, 2, 4, … and the last."""
    doubled = itertools.takewhile(lambda depth: depth < steps, (2**power for power in itertools.count()))
    return (*doubled, steps)


def gepa_rows(spec: GepaSpec, dev_rows: int, steps: int) -> int:
    """How many rows GEPA answers before it stops; `auto` by the arithmetic of `dspy.GEPA.auto_budget`."""
    if spec.max_rows is not None:
        return spec.max_rows
    candidates = _GEPA_CANDIDATES[spec.auto]
    trials = int(max(4 * steps * math.log2(candidates), 1.5 * candidates))
    full_scorings = (trials + 1) // _GEPA_FULL_EVERY + 1 + (1 if trials < _GEPA_FULL_EVERY else 0)
    return (1 + full_scorings) * dev_rows + _GEPA_TRIES * candidates + trials * _GEPA_MINIBATCH


def optimization_run_id(
    prompt_version_id: str, dataset_version_id: str, optimizer: OptimizerSpec, metric: dict[str, Any], cap_nano_usd: int
) -> str:
    """SHA-256 of everything that decides a run's result; `threads` does not."""
    return content_id(
        {
            "prompt_version_id": prompt_version_id,
            "dataset_version_id": dataset_version_id,
            "optimizer": _deciding(optimizer),
            "metric": metric,
            "cap_nano_usd": cap_nano_usd,
        }
    )


def with_seed_offset(optimizer: OptimizerSpec, offset: int) -> OptimizerSpec:
    """The same optimizer with other random choices: `offset` is added to every seed."""
    if not offset:
        return optimizer
    update: dict[str, Any] = {"seed": optimizer.seed + offset}
    if isinstance(optimizer, ChainSpec):
        update["stages"] = tuple(stage.model_copy(update={"seed": stage.seed + offset}) for stage in optimizer.stages)
    return optimizer.model_copy(update=update)


def _deciding(optimizer: OptimizerSpec) -> dict[str, Any]:
    values = optimizer.model_dump(mode="json", exclude={"threads"})
    if isinstance(optimizer, ChainSpec):
        values["stages"] = [_deciding(stage) for stage in optimizer.stages]
    return values


def check_optimizer(optimizer: OptimizerSpec, model: str) -> None:
    """Refuse an optimizer that needs a model which writes instructions where there is none.

    Raises:
        InputError: naming the field and the mend.
    """
    for number, stage in enumerate(stages_of(optimizer)):
        if proposal_model(stage, model) == OFFLINE_MODEL:
            place = f"optimizer.stages.{number}" if isinstance(optimizer, ChainSpec) else "optimizer"
            raise InputError(
                f"{stage.kind} needs a language model that writes instructions; {OFFLINE_MODEL} only reads "
                "demonstrations",
                field=f"{place}.proposal_model",
                mend="name a language model there or in prompt.model, or use the optimizer bootstrap_random_search.",
            )
