"""What a run works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from domain.dataset import Row
from domain.errors import InputError
from domain.evaluators.score import Evaluator
from domain.evaluators.specs import AskingSpec
from domain.optimization import (
    GepaSpec,
    OptimizerSpec,
    StageSpec,
    check_optimizer,
    gepa_rows,
    scored_rows,
    stages_of,
)
from domain.prompt import PromptVersion
from domain.rendering import check_templates
from resources.dspy_runtime.rows import check_rows, dev_subset, shuffled


@dataclass(frozen=True, slots=True)
class Material:
    """A prompt, rows, an optimizer and a metric that fit together; dev rows in the order the seed gives them."""

    prompt: PromptVersion
    train: Sequence[Row]
    dev: Sequence[Row]
    spec: OptimizerSpec
    evaluator: Evaluator | AskingSpec

    @classmethod
    def checked(
        cls,
        prompt: PromptVersion,
        train: Sequence[Row],
        dev: Sequence[Row],
        spec: OptimizerSpec,
        evaluator: Evaluator | AskingSpec,
    ) -> Self:
        """The material, its dev rows cut to what the optimizer scores on.

        Raises:
            InputError: the rows, the templates or the optimizer do not fit together.
        """
        check_optimizer(spec, prompt.model)
        check_rows(train, dev)
        check_templates(prompt, tuple(train[0].inputs))
        scored = dev_subset(dev, spec.seed, scored_rows(spec, len(dev)))
        _check_gepa(spec, len(scored), len(prompt.steps))
        return cls(prompt, tuple(train), scored, spec, evaluator)

    def train_of(self, stage: StageSpec) -> list[Row]:
        """The train rows in the order this stage's seed gives them."""
        return shuffled(self.train, stage.seed)


def _check_gepa(spec: OptimizerSpec, dev_rows: int, steps: int) -> None:
    for stage in stages_of(spec):
        if isinstance(stage, GepaSpec) and gepa_rows(stage, dev_rows, steps) <= dev_rows:
            raise InputError(
                f"gepa may answer {stage.max_rows} rows in all and needs {dev_rows} of them to score the prompt it "
                "starts from",
                field="optimizer.max_rows",
                mend="raise it to several times the dev rows, or lower dev_rows.",
            )
