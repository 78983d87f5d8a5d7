"""Scores of answers by the likeness of their embeddings to those of the expected texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.contracts import OutputContract
from domain.dataset import Row
from domain.errors import InputError
from domain.evaluators.embedding_score import TEXT_FIELD, compared_texts, embedding_prompt, similarity_score
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.judge_score import Judgement
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.prompt import PromptVersion
from resources.evaluation.answers import Answer
from resources.evaluation.effort import Effort
from resources.evaluation.grading import unreadable_scores
from resources.evaluation.judge import Judge, Judged, Progress, Subject


@dataclass(frozen=True, slots=True)
class _Pair:
    """A row's answer and expected text as what is embedded of them."""

    given: Subject
    expected: Subject


async def compare_rows(
    judge: Judge,
    spec: EmbeddingSimilaritySpec,
    prompt: PromptVersion,
    rows: Sequence[Row],
    answers: Mapping[str, Answer],
    contract_problems: Mapping[str, str | None],
    progress: Progress | None = None,
) -> tuple[dict[str, RowScore], Effort]:
    """Every row's score by input id. Each distinct text is embedded once, whoever said it.

    An answer that breaks its contract or is empty scores 0 and is not embedded.

    Raises:
        UnansweredError, ProviderError: as `Judge.judge`.
    """
    contract = prompt.steps[-1].output
    scores = unreadable_scores(rows, contract_problems)
    pairs: dict[str, _Pair] = {}
    for row in rows:
        if row.input_id not in scores:
            found = _pair_or_score(row, contract, answers[row.input_id].text, prompt.id)
            if isinstance(found, RowScore):
                scores[row.input_id] = found
            else:
                pairs[row.input_id] = found
    # The last of equal texts is the one that is asked: an expected one, which belongs to no prompt version.
    subjects = [pair.given for pair in pairs.values()] + [pair.expected for pair in pairs.values()]
    judged = await judge.judge(embedding_prompt(spec), subjects, name=spec.name, progress=progress)
    return {**scores, **_scores(spec, pairs, judged)}, judged.effort


def _pair_or_score(row: Row, contract: OutputContract, answer: str, prompt_version_id: str) -> _Pair | RowScore:
    try:
        texts = compared_texts(contract, row.output, answer)
    except InputError as error:
        return RowScore(None, error.problem, ScoreStatus.EVALUATOR_ERROR)
    settled = texts.settled()
    if settled is not None:
        return RowScore.of(settled)
    return _Pair(
        Subject(row, {TEXT_FIELD: texts.given}, prompt_version_id), Subject(row, {TEXT_FIELD: texts.expected}, None)
    )


def _scores(spec: EmbeddingSimilaritySpec, pairs: Mapping[str, _Pair], judged: Judged) -> dict[str, RowScore]:
    """Each score with its calls; what a vector cost stands with the first row that has it, so that no sum counts it
    twice."""
    scores: dict[str, RowScore] = {}
    counted: set[str] = set()
    for input_id, pair in pairs.items():
        ids = dict.fromkeys((pair.given.id, pair.expected.id))
        records = [judged.judgements[one, 0] for one in ids if (one, 0) in judged.judgements]
        fresh = [record for record in records if record.subject_id not in counted]
        counted.update(ids)
        found = similarity_score(spec, _vector(judged, pair.given), _vector(judged, pair.expected))
        scores[input_id] = replace(
            found,
            call_ids=tuple(record.call_id for record in records),
            cost_nano_usd=sum(record.cost_nano_usd for record in fresh),
        )
    return scores


def _vector(judged: Judged, subject: Subject) -> Judgement:
    record = judged.judgements.get((subject.id, 0))
    return Judgement("", judged.refused[subject.id, 0]) if record is None else Judgement(record.text)
