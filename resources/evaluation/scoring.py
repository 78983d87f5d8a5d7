"""Scores of answers by evaluators that need no model."""

from __future__ import annotations

from collections.abc import Iterable

from domain.dataset import Row
from domain.errors import EvaluatorError, InputError
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.evaluators.score import Evaluator
from resources.evaluation.answers import Answer


def score_rows(evaluator: Evaluator, rows: Iterable[Row], answers: dict[str, Answer]) -> dict[str, RowScore]:
    """Every row's score by input id; a row the evaluator fails on has none, and says why."""
    return {row.input_id: _score(evaluator, row, answers[row.input_id]) for row in rows}


def _score(evaluator: Evaluator, row: Row, answer: Answer) -> RowScore:
    if answer.broken_step is not None:
        return RowScore(0.0, f"the answer of step {answer.broken_step} breaks its contract", ScoreStatus.UNPARSABLE)
    try:
        return RowScore.of(evaluator.score(row.output, answer.text, row.inputs))
    except (EvaluatorError, InputError) as error:
        return RowScore(None, error.problem, ScoreStatus.EVALUATOR_ERROR)
