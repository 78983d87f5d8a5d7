"""What an evaluation knows of one row by one evaluator: a score, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from domain.evaluators.score import Score


class ScoreStatus(StrEnum):
    """How a row's score came about. The order is that of gravity, the gravest last."""

    OK = "ok"
    UNPARSABLE = "unparsable"
    EVALUATOR_ERROR = "evaluator_error"
    JUDGE_ERROR = "judge_error"

    @property
    def gravity(self) -> int:
        """0 for `ok`, growing."""
        return list(ScoreStatus).index(self)


@dataclass(frozen=True, slots=True)
class RowScore:
    """One row's score by one evaluator.

    Attributes:
        value: 0 to 1; None where the evaluator or the judge failed. An unparsable answer has 0.
        reason: why it is this score, or what failed.
        variance: between repeated judgements of this row (sample variance); None where there are not two.
        call_ids: calls of a judge, in the order of their samples; of an embedding model, for the answer and for the
            expected text.
        cost_nano_usd: what these cost when they were made.
        failed_judgements: of several judgements of this row, those that could not be had or read.
    """

    value: float | None
    reason: str
    status: ScoreStatus = ScoreStatus.OK
    variance: float | None = None
    call_ids: tuple[str, ...] = ()
    cost_nano_usd: int = 0
    failed_judgements: int = 0

    @classmethod
    def of(cls, score: Score) -> Self:
        """What an evaluator's score amounts to."""
        return cls(score.value, score.reason, ScoreStatus.OK if score.parsed else ScoreStatus.UNPARSABLE)

    @property
    def problem(self) -> str | None:
        """What went wrong; None where nothing did."""
        return None if self.status is ScoreStatus.OK else self.reason
