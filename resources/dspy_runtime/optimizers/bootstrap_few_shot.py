"""One set of demonstrations that the prompt answered right by itself."""

from __future__ import annotations

from domain.optimization import BootstrapFewShotSpec
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.alongside import scored_alongside
from resources.dspy_runtime.optimizers.baseline import score_on_dev
from resources.dspy_runtime.optimizers.setting import Setting


def compile_bootstrap_few_shot(spec: BootstrapFewShotSpec, setting: Setting) -> dspy.Module:
    """DSPy's bootstrapped and labelled demonstrations, then scored on dev, which DSPy leaves out.

    DSPy goes through the train rows in their order, which is seeded, one after the other, and fills up with a seed of
    its own, a constant. Meanwhile the prompt the run starts from is scored.
    """
    search = dspy.BootstrapFewShot(
        metric=setting.metric,
        max_bootstrapped_demos=spec.max_bootstrapped,
        max_labeled_demos=spec.max_labeled,
        max_rounds=spec.max_rounds,
    )
    with scored_alongside(setting.program, setting, spec.threads):
        chosen = search.compile(setting.program, trainset=setting.train)
    score_on_dev(chosen, setting, spec.threads)
    return chosen
