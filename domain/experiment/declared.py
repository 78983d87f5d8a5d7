"""An experiment that a task file declares and its schedule starts, anew and under a new name each time."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field

from domain.experiment.spec import Experiment, ExperimentDesign, Variant
from domain.names import LONGEST_NAME
from domain.statistics.alpha_spending import alpha_for_look

_STAMP = "_%Y%m%d_%H%M"
_STAMP_LENGTH = len("_20261126_0900")
LONGEST_BASE = LONGEST_NAME - _STAMP_LENGTH

PRODUCTION_AND_CANDIDATE = (
    Variant(name="production", prompt="production"),
    Variant(name="candidate", prompt="candidate"),
)


class DeclaredExperiment(ExperimentDesign):
    """The `experiment` of a task file. Every start makes one of it, with the versions that its aliases name then."""

    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Risk of a false winner, of all experiments its schedule starts together.",
    )

    name: str | None = Field(
        default=None,
        pattern=rf"^[a-z][a-z0-9_]{{0,{LONGEST_BASE - 1}}}$",
        description="How the names of its experiments begin; the task's name where it is left out.",
    )
    variants: tuple[Variant, ...] = Field(
        default=PRODUCTION_AND_CANDIDATE,
        min_length=2,
        max_length=20,
        description="The first one is the control; where left out, the aliases production and candidate, half each.",
    )

    def name_at(self, task: str, at: datetime) -> str:
        """The name of the experiment that the start due at `at` makes; the same for the same tick."""
        return (self.name or task[:LONGEST_BASE]) + at.astimezone(UTC).strftime(_STAMP)

    def started_at(self, task: str, at: datetime, number: int) -> Experiment:
        """The experiment that the start due at `at` makes, the task's `number`-th by schedule (from 1).

        All of them share `alpha`: with a whole one for each, a candidate as good as production would be promoted
        sooner or later.

        Raises:
            InputError: `number` is below 1.
        """
        own = {"name": self.name_at(task, at), "task": task, "alpha": alpha_for_look(self.alpha, number)}
        return Experiment.model_validate({**self.model_dump(), **own})
