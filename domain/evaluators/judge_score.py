"""From what a judge said of one answer to that answer's score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from domain.errors import OutputParseError
from domain.evaluators.judge_prompt import Grade, read_grade
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.row_score import RowScore, ScoreStatus


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's words, verbatim; where its provider refused the request there are none, and `refused` says why."""

    text: str
    refused: str | None = None


def read_grades(spec: JudgeSpec, judgements: Sequence[Judgement]) -> tuple[list[Grade], list[str]]:
    """The grades that could be read, and what kept others from it."""
    grades: list[Grade] = []
    problems: list[str] = []
    for judgement in judgements:
        if judgement.refused is not None:
            problems.append(judgement.refused)
            continue
        try:
            grades.append(read_grade(spec, judgement.text))
        except OutputParseError as error:
            problems.append(error.problem)
    return grades, problems


def judged_score(spec: JudgeSpec, judgements: Sequence[Judgement]) -> RowScore:
    """The mean of one answer's judgements, with their variance.

    Where fewer than half of several judgements could be read, or the only one could not, there is no score.
    """
    grades, problems = read_grades(spec, judgements)
    failed = len(problems)
    if not grades or len(grades) * 2 < spec.samples:
        reason = f"{failed} of {spec.samples} judgements failed: {problems[0]}"
        return RowScore(None, reason, ScoreStatus.JUDGE_ERROR, failed_judgements=failed)
    values = [grade.value for grade in grades]
    reason = " | ".join(f"{grade.grade}: {grade.reason}" for grade in grades)
    spread = variance(values) if len(values) > 1 else None
    return RowScore(fmean(values), reason, variance=spread, failed_judgements=failed)
