"""Many demonstration sets, the best on dev wins."""

from __future__ import annotations

from domain.optimization import RandomSearchSpec
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.baseline import score_baseline
from resources.dspy_runtime.optimizers.setting import Setting


def compile_random_search(spec: RandomSearchSpec, setting: Setting) -> dspy.Module:
    """DSPy's choice among the plain, the labelled, the bootstrapped and `spec.candidates` drawn sets.

    DSPy's own seeds are fixed numbers; `spec.seed` acts through the order of the train rows.
    """
    score_baseline(setting, spec.threads)
    search = dspy.BootstrapFewShotWithRandomSearch(
        metric=setting.metric,
        max_bootstrapped_demos=spec.max_bootstrapped,
        max_labeled_demos=spec.max_labeled,
        num_candidate_programs=spec.candidates,
        num_threads=spec.threads,
    )
    # It draws the number of bootstrapped demonstrations from 1 up, and fails where there are to be none.
    search.min_num_samples = min(1, spec.max_bootstrapped)
    return search.compile(setting.program, trainset=setting.train, valset=setting.dev)
