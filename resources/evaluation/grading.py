"""Scores of answers by a judge's grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, variance

from domain.contracts import OutputContract
from domain.dataset import Row
from domain.errors import OutputParseError
from domain.evaluators.judge_prompt import Grade, grading_prompt, judged_text, read_grade, row_fields
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.prompt import PromptVersion
from resources.database.repositories.judgements import JudgementRecord
from resources.evaluation.answers import Answer
from resources.evaluation.effort import Effort
from resources.evaluation.judge import Judge, Judged, Progress, Subject


async def grade_rows(
    judge: Judge,
    spec: JudgeSpec,
    prompt: PromptVersion,
    rows: Sequence[Row],
    answers: Mapping[str, Answer],
    contract_problems: Mapping[str, str | None],
    progress: Progress | None = None,
) -> tuple[dict[str, RowScore], Effort]:
    """Every row's score by input id. An answer that breaks its contract scores 0 and is not shown to the judge.

    Raises:
        UnansweredError, ProviderError: as `Judge.judge`.
    """
    contract = prompt.steps[-1].output
    readable = [row for row in rows if contract_problems[row.input_id] is None]
    subjects = {
        row.input_id: grading_subject(spec, row, contract, answers[row.input_id].text, prompt.id) for row in readable
    }
    judged = await judge.judge(
        grading_prompt(spec), subjects.values(), name=spec.name, samples=spec.samples, progress=progress
    )
    scores = {
        row.input_id: RowScore(0.0, contract_problems[row.input_id] or "", ScoreStatus.UNPARSABLE)
        for row in rows
        if row.input_id not in subjects
    }
    graded = {input_id: row_score(spec, judged, subject.id) for input_id, subject in subjects.items()}
    return {**scores, **graded}, judged.effort


def grading_subject(
    spec: JudgeSpec, row: Row, contract: OutputContract, answer: str, prompt_version_id: str | None
) -> Subject:
    """What the judge is shown of `answer`, which meets `contract`."""
    fields = {**row_fields(spec, row.inputs, row.output), "answer": judged_text(contract, answer)}
    return Subject(row, fields, prompt_version_id)


def row_score(spec: JudgeSpec, judged: Judged, subject_id: str) -> RowScore:
    """The mean of one subject's judgements, with their variance.

    Where fewer than half of several judgements could be read, or the only one could not, there is no score.
    """
    grades, problems, records = read_grades(spec, judged, subject_id)
    money = {
        "call_ids": tuple(record.call_id for record in records),
        "cost_nano_usd": sum(record.cost_nano_usd for record in records),
        "failed_judgements": len(problems),
    }
    if not grades or len(grades) * 2 < spec.samples:
        reason = f"{len(problems)} of {spec.samples} judgements failed: {problems[0]}"
        return RowScore(None, reason, ScoreStatus.JUDGE_ERROR, **money)
    values = [grade.value for grade in grades]
    reason = " | ".join(f"{grade.grade}: {grade.reason}" for grade in grades)
    return RowScore(fmean(values), reason, variance=variance(values) if len(values) > 1 else None, **money)


def read_grades(
    spec: JudgeSpec, judged: Judged, subject_id: str
) -> tuple[list[Grade], list[str], list[JudgementRecord]]:
    """The grades of one subject, what made others fail, and all judgements that were paid for."""
    grades: list[Grade] = []
    problems: list[str] = []
    records: list[JudgementRecord] = []
    for sample in range(spec.samples):
        record = judged.judgements.get((subject_id, sample))
        if record is None:
            problems.append(judged.refused[subject_id, sample])
            continue
        records.append(record)
        try:
            grades.append(read_grade(spec, record.text))
        except OutputParseError as error:
            problems.append(error.problem)
    return grades, problems, records
