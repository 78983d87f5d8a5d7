"""Instructions written by a model from the scores of earlier ones."""

from __future__ import annotations

from domain.optimization import CoproSpec
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.baseline import score_baseline
from resources.dspy_runtime.optimizers.setting import Setting


def compile_copro(spec: CoproSpec, setting: Setting) -> dspy.Module:
    """DSPy's choice among `spec.breadth` x `spec.depth` instructions per step.

    What COPRO calls its trainset it only scores on and never shows to the writer, so it gets the dev rows: then its
    scores are those of the board. It makes no random choice.
    """
    score_baseline(setting, spec.threads)
    search = dspy.COPRO(
        prompt_model=setting.proposal_lm,
        metric=setting.metric,
        breadth=spec.breadth,
        depth=spec.depth,
        init_temperature=spec.temperature,
    )
    return search.compile(setting.program, trainset=setting.dev, eval_kwargs={"num_threads": spec.threads})
