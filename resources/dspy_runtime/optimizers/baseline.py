"""The prompt a run starts from, scored first: ties go to it, and a run cut short early falls back on it."""

from __future__ import annotations

from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.setting import Setting


def score_baseline(setting: Setting, threads: int) -> None:
    """Score the program as it is on all dev rows.

    Optimizers mostly repeat this without its authored demonstrations; where there are none, it costs no further call.
    """
    dspy.Evaluate(devset=setting.dev, metric=setting.metric, num_threads=threads)(setting.program)
