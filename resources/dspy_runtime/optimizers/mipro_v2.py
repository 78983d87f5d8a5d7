"""Instructions written by a model, times demonstration sets, searched with a Bayesian sampler."""

from __future__ import annotations

import warnings

from domain.optimization import MiproV2Spec
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.baseline import score_baseline
from resources.dspy_runtime.optimizers.setting import Setting


def compile_mipro_v2(spec: MiproV2Spec, setting: Setting) -> dspy.Module:
    """DSPy's choice among instructions x demonstrations.

    The seed goes to the constructor: `compile(seed=0)` would run the constructor's default, 9.
    """
    # DSPy asks Optuna for a sampler option that Optuna calls experimental on every run.
    warnings.filterwarnings("ignore", message="Argument ``multivariate`` is an experimental feature")
    score_baseline(setting, spec.threads)
    search = dspy.MIPROv2(
        metric=setting.metric,
        prompt_model=setting.proposal_lm,
        task_model=setting.task_lm,
        max_bootstrapped_demos=spec.max_bootstrapped,
        max_labeled_demos=spec.max_labeled,
        auto=spec.auto,
        num_threads=spec.threads,
        seed=spec.seed,
        track_stats=False,
    )
    return search.compile(setting.program, trainset=setting.train, valset=setting.dev)
