"""What an evaluation found of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.contracts import OutputContract
from domain.dataset import Row
from domain.errors import OutputParseError
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.parsing import parse_output
from resources.evaluation.answers import Answer


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """One row's answer and scores.

    Attributes:
        metric: name of the first evaluator; `score` and `reason` are its.
        scores: by evaluator's name.
        contract_problem: why the answer breaks its output contract; None where it does not.
        call_ids: calls of all steps that made the answer.
        cost_nano_usd, latency_s: of making the answer, whoever paid first; a judge's are not in them.
    """

    row_id: str
    input_id: str
    inputs: dict[str, str]
    expected: Any
    answer: str
    metric: str
    scores: dict[str, RowScore]
    contract_problem: str | None
    call_ids: tuple[str, ...]
    cost_nano_usd: int
    latency_s: float
    input_tokens: int
    output_tokens: int

    @property
    def score(self) -> float | None:
        """The metric's; None where its evaluator failed."""
        return self.scores[self.metric].value

    @property
    def reason(self) -> str:
        """The metric's."""
        return self.scores[self.metric].reason

    @property
    def status(self) -> ScoreStatus:
        """The gravest thing that happened to the row, by any evaluator."""
        gravest = max((score.status for score in self.scores.values()), key=lambda status: status.gravity)
        if gravest is ScoreStatus.OK and self.contract_problem:
            return ScoreStatus.UNPARSABLE
        return gravest

    @property
    def problem(self) -> str | None:
        """What `status` means in words; None where all is well."""
        status = self.status
        told = (f"{name}: {score.reason}" for name, score in self.scores.items() if score.status is status)
        return None if status is ScoreStatus.OK else next(told, self.contract_problem)


def contract_problem(contract: OutputContract, answer: Answer) -> str | None:
    """Why an answer breaks its output contract, or an earlier step's did; None where none does."""
    if answer.broken_step is not None:
        return f"the answer of step {answer.broken_step} breaks its contract, so that no later step was asked"
    try:
        parse_output(contract, answer.text)
    except OutputParseError as error:
        return error.problem
    return None


def make_examples(
    rows: Sequence[Row],
    answers: dict[str, Answer],
    contract_problems: dict[str, str | None],
    scores: dict[str, dict[str, RowScore]],
) -> list[ExampleResult]:
    """One result per row, in the order of `rows`; `scores` by evaluator (the metric first), then input id."""
    metric = next(iter(scores))
    return [
        ExampleResult(
            row_id=row.row_id,
            input_id=row.input_id,
            inputs=row.inputs,
            expected=row.output,
            answer=answers[row.input_id].text,
            metric=metric,
            scores={name: found[row.input_id] for name, found in scores.items()},
            contract_problem=contract_problems[row.input_id],
            call_ids=answers[row.input_id].call_ids,
            cost_nano_usd=answers[row.input_id].cost_nano_usd,
            latency_s=answers[row.input_id].latency_s,
            input_tokens=answers[row.input_id].input_tokens,
            output_tokens=answers[row.input_id].output_tokens,
        )
        for row in rows
    ]
