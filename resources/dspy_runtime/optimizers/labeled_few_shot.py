"""Random labelled rows as demonstrations."""

from __future__ import annotations

from domain.optimization import LabeledFewShotSpec
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.setting import Setting


def compile_labeled_few_shot(spec: LabeledFewShotSpec, setting: Setting) -> dspy.Module:
    """The program with `spec.demonstrations` train rows. DSPy always draws with seed 0; the rows' order is seeded."""
    return dspy.LabeledFewShot(k=spec.demonstrations).compile(setting.program, trainset=setting.train)
