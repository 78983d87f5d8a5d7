"""How a task file names judges: models that grade answers by a rubric, or say which of two is better."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from domain.evaluators.spec_base import SCORE_NAME_PATTERN, Spec
from domain.prompt import MODEL_PATTERN, PromptParameters

MAX_GRADES = 101


class JudgeScale(Spec):
    """Whole grades from `lowest` (score 0) to `highest` (score 1)."""

    lowest: int = Field(default=1, ge=-1000, le=1000)
    highest: int = Field(default=5, ge=-1000, le=1000)

    @model_validator(mode="after")
    def _has_two_grades(self) -> Self:
        if not self.lowest < self.highest < self.lowest + MAX_GRADES:
            raise ValueError(f"the highest grade must lie 1 to {MAX_GRADES - 1} above the lowest")
        return self

    @property
    def grades(self) -> range:
        """All grades, the lowest first."""
        return range(self.lowest, self.highest + 1)

    def value(self, grade: float) -> float:
        """The score, 0 to 1, that a grade stands for."""
        return (grade - self.lowest) / (self.highest - self.lowest)


class CalibrationSpec(Spec):
    """Answers that people have graded, in columns of the dataset: the judge grades them too, on `dev`."""

    answer: str = Field(min_length=1, description="Column with an answer that somebody graded.")
    grade: str = Field(min_length=1, description="Column with the grade it was given, on the judge's scale.")
    min_kappa: float = Field(
        default=0.6, ge=0, le=1, description="Agreement below which a warning is shown (0.61: substantial)."
    )


class Rubric(Spec):
    """What every judge has."""

    model: str = Field(pattern=MODEL_PATTERN, description="provider/name of the model that judges.")
    rubric: str = Field(min_length=1, description="What makes an answer good, in plain words; sent verbatim.")
    parameters: PromptParameters = PromptParameters()
    show_expected: bool = Field(default=True, description="Show the row's expected answer as a reference.")


class JudgeSpec(Rubric):
    """A model that grades each answer by a rubric."""

    kind: Literal["judge"] = "judge"
    name: str = Field(default="judge", pattern=SCORE_NAME_PATTERN, description="What its scores are called.")
    scale: JudgeScale = JudgeScale()
    samples: int = Field(default=1, ge=1, le=20, description="Independent judgements per answer; their mean counts.")
    calibration: CalibrationSpec | None = None

    @property
    def score_name(self) -> str:
        """`name`."""
        return self.name

    @model_validator(mode="after")
    def _repeats_differ(self) -> Self:
        if self.samples > 1 and self.parameters.temperature == 0:
            raise ValueError(
                "several samples need parameters.temperature above 0: at 0 a model repeats itself, and the variance "
                "between judgements would say nothing"
            )
        return self


class PairwiseJudgeSpec(Rubric):
    """A model that says which of two answers to the same row is better; it is asked in both orders."""
