"""What a run works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from domain.dataset import Row
from domain.evaluators.score import Evaluator
from domain.optimization import MIPRO_DEV_ROWS, MiproV2Spec, OptimizerSpec, check_optimizer
from domain.prompt import PromptVersion
from domain.rendering import check_templates
from resources.dspy_runtime.rows import check_rows, dev_subset, shuffled


@dataclass(frozen=True, slots=True)
class Material:
    """A prompt, rows in the order the seed gives them, an optimizer and a metric that fit together."""

    prompt: PromptVersion
    train: Sequence[Row]
    dev: Sequence[Row]
    spec: OptimizerSpec
    evaluator: Evaluator

    @classmethod
    def checked(
        cls,
        prompt: PromptVersion,
        train: Sequence[Row],
        dev: Sequence[Row],
        spec: OptimizerSpec,
        evaluator: Evaluator,
    ) -> Self:
        """The material, its dev rows cut to what the optimizer scores on.

        Raises:
            InputError: the rows, the templates or the optimizer do not fit together.
        """
        check_optimizer(spec, prompt.model)
        check_rows(train, dev)
        check_templates(prompt, tuple(train[0].inputs))
        # MIPROv2 cuts the dev rows itself, by its own choice of them; cutting first lets the baseline and every
        # candidate be scored on the same rows.
        mipro_rows = MIPRO_DEV_ROWS[spec.auto] if isinstance(spec, MiproV2Spec) else None
        scored = dev_subset(dev, spec.seed, spec.dev_rows, mipro_rows)
        return cls(prompt, shuffled(train, spec.seed), scored, spec, evaluator)
