"""A judge against people, on answers that people have graded."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from domain.contracts import TextContract
from domain.dataset import Row
from domain.evaluators.annotations import human_grade
from domain.evaluators.judge_prompt import grading_prompt
from domain.evaluators.judge_score import read_grades
from domain.evaluators.judge_spec import CalibrationSpec, JudgeSpec
from domain.statistics.agreement import Agreement, agreement
from resources.evaluation.effort import Effort
from resources.evaluation.grading import grading_subject, judgements_of
from resources.evaluation.judge import Judge, Progress


async def calibrate(
    judge: Judge, spec: JudgeSpec, calibration: CalibrationSpec, rows: Sequence[Row], progress: Progress | None = None
) -> tuple[dict[str, Any], Effort]:
    """The judge's agreement with people on the graded answers of `rows`, as JSON values, and what it took.

    The dict holds `graded` (answers with a human grade), `failed` (of these, judgements that could not be had or
    read), the figures of `Agreement` where there are any, and `warning`, a sentence where the judge is not to be
    trusted. Several judgements of an answer count as their rounded mean.

    Raises:
        UnansweredError, ProviderError: as `Judge.judge`.
    """
    people = {row.input_id: human_grade(calibration, spec.scale, row.annotations) for row in rows}
    graded = [row for row in rows if people[row.input_id] is not None]
    subjects = {
        row.input_id: grading_subject(spec, row, TextContract(), row.annotations[calibration.answer], None)
        for row in graded
    }
    judged = await judge.judge(
        grading_prompt(spec), subjects.values(), name=spec.name, samples=spec.samples, progress=progress
    )
    pairs: list[tuple[int, int]] = []
    for input_id, subject in subjects.items():
        grades, _ = read_grades(spec, judgements_of(spec, judged, subject.id))
        theirs = people[input_id]
        if grades and theirs is not None:
            pairs.append((theirs, round(fmean(grade.grade for grade in grades))))
    found = agreement([one for one, _ in pairs], [one for _, one in pairs], list(spec.scale.grades)) if pairs else None
    told: dict[str, Any] = {"graded": len(graded), "failed": len(graded) - len(pairs)}
    told |= found.as_dict() if found else {}
    return {**told, "warning": _warning(spec.name, calibration, found)}, judged.effort


def _warning(name: str, calibration: CalibrationSpec, found: Agreement | None) -> str | None:
    if found is None:
        return f"No answer of this split has both a human grade and one of {name}: nobody knows how good a judge it is."
    kappa = found.deciding_kappa
    if kappa is None:
        return f"All {found.rows} graded answers have one and the same grade, which shows nothing about {name}."
    if kappa >= calibration.min_kappa:
        return None
    return (
        f"{name} agrees too little with people: kappa is {kappa:.2f} on {found.rows} answers, and "
        f"{calibration.min_kappa:g} is wanted. Mend the rubric before you trust its scores."
    )
