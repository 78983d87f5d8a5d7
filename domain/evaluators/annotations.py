"""What people noted of rows for judges to be calibrated with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.errors import InputError
from domain.evaluators.judge_spec import CalibrationSpec, JudgeScale, JudgeSpec
from domain.evaluators.score import shown
from domain.evaluators.specs import EvaluatorSpec


def annotation_columns(specs: Sequence[EvaluatorSpec]) -> tuple[str, ...]:
    """The dataset columns that calibrations name, each once."""
    return tuple(dict.fromkeys(column for one in _calibrated(specs) for column in (one[0].answer, one[0].grade)))


def check_annotations(specs: Sequence[EvaluatorSpec], annotations: Mapping[str, str]) -> None:
    """Refuse a row whose human grade is not on the judge's scale, or grades no answer; a row without a grade is fine.

    Raises:
        InputError: naming the column and the mend.
    """
    for calibration, scale in _calibrated(specs):
        if calibration.grade not in annotations:
            continue
        human_grade(calibration, scale, annotations)
        if calibration.answer not in annotations:
            raise InputError(
                "a grade is given and no answer that it grades",
                field=calibration.answer,
                mend="fill in the graded answer, or clear the grade.",
            )


def human_grade(calibration: CalibrationSpec, scale: JudgeScale, annotations: Mapping[str, str]) -> int | None:
    """The grade a person gave; None where none did.

    Raises:
        InputError: it is no whole grade of the scale.
    """
    text = annotations.get(calibration.grade)
    if text is None:
        return None
    try:
        grade = float(text)
    except ValueError:
        grade = None
    if grade is None or grade not in scale.grades:
        raise InputError(
            f"the human grade {shown(text)} is not on the judge's scale",
            field=calibration.grade,
            mend=f"write a whole number from {scale.lowest} to {scale.highest}, or leave it empty.",
        )
    return int(grade)


def _calibrated(specs: Sequence[EvaluatorSpec]) -> list[tuple[CalibrationSpec, JudgeScale]]:
    return [
        (spec.calibration, spec.scale) for spec in specs if isinstance(spec, JudgeSpec) and spec.calibration is not None
    ]
