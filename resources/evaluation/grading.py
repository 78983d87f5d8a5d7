"""Scores of answers by a judge's grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain.contracts import OutputContract
from domain.dataset import Row
from domain.evaluators.judge_prompt import graded_fields, grading_prompt
from domain.evaluators.judge_score import Judgement, judged_score
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.prompt import PromptVersion
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
    graded = {input_id: row_score(spec, judged, subject.id) for input_id, subject in subjects.items()}
    return {**unreadable_scores(rows, contract_problems), **graded}, judged.effort


def unreadable_scores(rows: Sequence[Row], contract_problems: Mapping[str, str | None]) -> dict[str, RowScore]:
    """By input id, 0 for each answer that breaks its contract: no model is asked about it."""
    problems = {row.input_id: contract_problems[row.input_id] for row in rows}
    return {
        input_id: RowScore(0.0, problem, ScoreStatus.UNPARSABLE)
        for input_id, problem in problems.items()
        if problem is not None
    }


def grading_subject(
    spec: JudgeSpec, row: Row, contract: OutputContract, answer: str, prompt_version_id: str | None
) -> Subject:
    """What the judge is shown of `answer`, which meets `contract`."""
    return Subject(row, graded_fields(spec, row.inputs, row.output, contract, answer), prompt_version_id)


def row_score(spec: JudgeSpec, judged: Judged, subject_id: str) -> RowScore:
    """One subject's score, with the calls and the money behind it; see `judged_score`."""
    records = [judged.judgements.get((subject_id, sample)) for sample in range(spec.samples)]
    paid = [record for record in records if record is not None]
    return replace(
        judged_score(spec, judgements_of(spec, judged, subject_id)),
        call_ids=tuple(record.call_id for record in paid),
        cost_nano_usd=sum(record.cost_nano_usd for record in paid),
    )


def judgements_of(spec: JudgeSpec, judged: Judged, subject_id: str) -> list[Judgement]:
    """What the judge said of one subject, sample by sample, refusals included."""
    keys = [(subject_id, sample) for sample in range(spec.samples)]
    return [
        Judgement(judged.judgements[key].text) if key in judged.judgements else Judgement("", judged.refused[key])
        for key in keys
    ]
