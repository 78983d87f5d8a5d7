"""The task's evaluator as DSPy's metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from domain.dataset import Row
from domain.evaluators.feedback import feedback
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.halting import halting
from resources.dspy_runtime.program import ProgramPlan, StepPrediction
from resources.dspy_runtime.references import labelled_demonstration
from resources.dspy_runtime.row_scores import Given, RowScores
from resources.dspy_runtime.scoreboard import ScoreBoard

FULL_SCORE = 1.0


class RowMetric:
    """Scores predictions as an evaluation does, and keeps the board of the dev rows' scores.

    Expected values stay on this side: dev examples carry none into DSPy, train examples one as a perfect answer.
    """

    def __init__(
        self, scores: RowScores, plan: ProgramPlan, board: ScoreBoard, halt: Callable[[BaseException], None]
    ) -> None:
        self._scores = scores
        self._plan = plan
        self._board = board
        self._halt = halt
        self._rows: dict[int, Row] = {}
        self._dev_numbers: dict[int, int] = {}
        self._examples: list[dspy.Example] = []

    def train_examples(self, rows: Sequence[Row]) -> list[dspy.Example]:
        """Examples an optimizer may make demonstrations of, as they are or of the prompt's own answers to them.

        Raises:
            InputError: a row's expected answer does not meet the contract.
        """
        label, last = self._plan.fields.label, self._plan.prompt.steps[-1]
        return [self._example(row, {label: labelled_demonstration(last, row).output}) for row in rows]

    def dev_examples(self, rows: Sequence[Row]) -> list[dspy.Example]:
        """Examples that candidates are scored on."""
        examples = [self._example(row, {}) for row in rows]
        self._dev_numbers = {id(example): number for number, example in enumerate(examples)}
        return examples

    def __call__(self, example: dspy.Example, prediction: StepPrediction, trace: Any = None) -> float | bool:
        """The score, 0 to 1; with a trace (bootstrapping), whether the answers may become demonstrations.

        Only answers of full score may, whose every step meets its contract: a demonstration that is half right
        teaches the other half, too.
        """
        with halting(self._halt):
            score = self._scores.score(self._given(example, prediction)).value
            if trace is not None:
                return score >= FULL_SCORE and prediction.broken is None
            number = self._dev_numbers.get(id(example))
            if number is not None:
                self._board.record(prediction.version, number, score)
            return score

    def explained(self, example: dspy.Example, prediction: StepPrediction) -> dspy.Prediction:
        """`score` and, for a train row, `feedback`: what was given, what was expected, and why that matters.

        Raises:
            OptimizationHalted: the row is a dev row, whose expected answer no model may be told.
        """
        with halting(self._halt):
            if id(example) in self._dev_numbers:
                raise AssertionError("feedback gives the expected answer away, and a dev row's must stay unknown")
            given = self._given(example, prediction)
            score = self._scores.score(given)
            expected = labelled_demonstration(self._plan.prompt.steps[-1], given.row).output
            said = feedback(score, expected=expected, given=given.text)
            if prediction.broken is not None and given.text == "":
                said += f"\nThe step {prediction.broken} answered against its contract, so no later step was asked."
            return dspy.Prediction(score=score.value, feedback=said)

    def _given(self, example: dspy.Example, prediction: StepPrediction) -> Given:
        text = prediction[self._plan.fields.label]
        return Given(self._rows[id(example)], text, prediction.version, prediction.broken)

    def _example(self, row: Row, label: dict[str, str]) -> dspy.Example:
        names = self._plan.fields.rows
        inputs = {field: row.inputs[name] for name, field in names.items() if name in row.inputs}
        example = dspy.Example(**inputs, **label).with_inputs(*inputs)
        self._examples.append(example)  # keeps it alive: rows are found by the identity of their example
        self._rows[id(example)] = row
        return example
