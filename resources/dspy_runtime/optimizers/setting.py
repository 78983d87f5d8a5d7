"""What every optimizer gets to work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.metric import RowMetric
from resources.dspy_runtime.program import StepProgram


@dataclass(frozen=True, slots=True)
class Setting:
    """A run's material. `dspy.settings` holds the task's LM, our adapter and the number of threads meanwhile.

    Attributes:
        proposal_lm: the LM that writes instructions.
        halt: lets the run ask for nothing more, because of this error.
    """

    program: StepProgram
    metric: RowMetric
    train: list[dspy.Example]
    dev: list[dspy.Example]
    task_lm: dspy.LM
    proposal_lm: dspy.LM
    halt: Callable[[BaseException], None]
