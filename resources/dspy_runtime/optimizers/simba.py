"""Rules and demonstrations from train rows on which sampled answers differ."""

from __future__ import annotations

from typing import Any, cast

from domain.optimization import SimbaSpec, simba_depths
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.alongside import scored_alongside
from resources.dspy_runtime.optimizers.baseline import score_on_dev
from resources.dspy_runtime.optimizers.setting import Setting


def compile_simba(spec: SimbaSpec, setting: Setting) -> dspy.Module:
    """DSPy's program after `spec.steps` steps, scored on dev, which DSPy leaves out.

    SIMBA judges on train rows, and at its end. So that a run cut short has something to show, it is run with 1, 2, 4, …
    steps: each time the steps before are the same again, their answers are in the journal and cost nothing, and what it
    chose is scored on dev, while the next, longer run begins.
    """
    train = setting.train[: spec.train_rows]
    chosen: dspy.Module = setting.program
    for steps in simba_depths(spec.steps):
        search = dspy.SIMBA(
            metric=cast(Any, setting.metric.explained),  # DSPy also takes a score with metadata, and passes it on
            bsize=min(spec.batch_rows, len(train)),
            num_candidates=spec.candidates,
            max_steps=steps,
            max_demos=spec.max_demonstrations,
            prompt_model=setting.proposal_lm,
            num_threads=spec.threads,
        )
        with scored_alongside(chosen, setting, spec.threads):
            chosen = search.compile(setting.program, trainset=train, seed=spec.seed)
    score_on_dev(chosen, setting, spec.threads)
    return chosen
