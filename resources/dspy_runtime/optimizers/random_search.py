"""Many demonstration sets, the best on dev wins."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from domain.optimization import RandomSearchSpec
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.alongside import alongside
from resources.dspy_runtime.optimizers.baseline import score_baseline
from resources.dspy_runtime.optimizers.setting import Setting


def compile_random_search(spec: RandomSearchSpec, setting: Setting) -> dspy.Module:
    """DSPy's choice among the plain, the labelled, the bootstrapped and `spec.candidates` drawn sets.

    DSPy's own seeds are fixed numbers; `spec.seed` acts through the order of the train rows. It bootstraps row
    after row and set after set; here all sets do so at once, and DSPy then finds the answers in the journal.
    """
    score_baseline(setting, spec.threads)
    bootstraps = [partial(_bootstrap, spec, setting, *drawn) for drawn in _draws(spec, setting)]
    with alongside(bootstraps, setting, spec.threads):
        pass
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


def _draws(spec: RandomSearchSpec, setting: Setting) -> Iterator[tuple[list[dspy.Example], int]]:
    """The train rows and the number of demonstrations of every bootstrapped set, as DSPy draws them.

    Were DSPy to draw others, the result would be the same and cost more: a test counts the calls.
    """
    yield setting.train, spec.max_bootstrapped
    for seed in range(spec.candidates):
        train = list(setting.train)
        random.Random(seed).shuffle(train)  # noqa: S311 - as DSPy draws
        size = random.Random(seed).randint(min(1, spec.max_bootstrapped), spec.max_bootstrapped)  # noqa: S311
        yield train, size


def _bootstrap(spec: RandomSearchSpec, setting: Setting, train: list[dspy.Example], size: int) -> None:
    search = dspy.BootstrapFewShot(
        metric=setting.metric, max_bootstrapped_demos=size, max_labeled_demos=spec.max_labeled
    )
    search.compile(setting.program, trainset=train)
