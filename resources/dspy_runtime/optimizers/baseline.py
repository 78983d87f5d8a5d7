"""Scores on dev that an optimizer does not make by itself."""

from __future__ import annotations

from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.setting import Setting


def score_baseline(setting: Setting, threads: int) -> None:
    """Score the program a stage starts from first: ties go to it, and a run cut short early falls back on it.

    Optimizers mostly repeat this without its authored demonstrations; where there are none, it costs no further call.
    """
    score_on_dev(setting.program, setting, threads)


def score_on_dev(program: dspy.Module, setting: Setting, threads: int) -> None:
    """Score `program` on all dev rows, for the board: some optimizers look at train rows alone."""
    dspy.Evaluate(devset=setting.dev, metric=setting.metric, num_threads=threads)(program)
