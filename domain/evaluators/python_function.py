"""An evaluator that is a function of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from domain.contracts import OutputContract
from domain.errors import EvaluatorError, InputError, OutputParseError
from domain.evaluators.expected import expected_value
from domain.evaluators.score import NO_INPUTS, Score, shown, unparsable
from domain.evaluators.specs import PythonSpec
from domain.parsing import parse_output

ScoreFunction = Callable[[Any, Any, dict[str, str]], Any]
SIGNATURE = "(expected, given, inputs) -> float | bool | Score"


class PythonFunction:
    """Scores with `function(expected, given, inputs)`.

    `expected` is the dataset's value, `given` the answer as the output contract reads it (label, number, dict or text),
    `inputs` the row's fields. An answer the contract cannot read scores 0 and is not shown to the function.
    """

    def __init__(self, spec: PythonSpec, contract: OutputContract, function: ScoreFunction) -> None:
        self.name = spec.score_name
        self._path = spec.path
        self._contract = contract
        self._function = function

    def score(self, expected: Any, text: str, inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`.

        Raises:
            EvaluatorError: the function raised, or gave something that is no score.
        """
        try:
            given = parse_output(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        try:
            result = self._function(expected, given, dict(inputs))
        except Exception as error:
            raise EvaluatorError(f"{self._path} raised {type(error).__name__}: {error}") from error
        return _as_score(self._path, result)

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        expected_value(self._contract, expected)


def check_function(path: str, function: Any) -> ScoreFunction:
    """`function`, if it can be called as a score function is.

    Raises:
        InputError: it cannot.
    """
    mend = f"define it as `def {path.partition(':')[2]}{SIGNATURE}`."
    if not callable(function) or inspect.isclass(function):
        raise InputError(f"{path} is not a function", field="evaluators.python.path", mend=mend)
    if inspect.iscoroutinefunction(function):
        raise InputError(f"{path} is asynchronous", field="evaluators.python.path", mend=mend)
    try:
        inspect.signature(function).bind(None, None, {})
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not take (expected, given, inputs): {error}", field="evaluators.python.path", mend=mend
        ) from error
    return function


def _as_score(path: str, result: Any) -> Score:
    if isinstance(result, Score):
        return result
    if isinstance(result, bool):
        return Score(float(result), f"{path} says {'right' if result else 'wrong'}")
    if not isinstance(result, Real):
        raise EvaluatorError(f"{path} returned {shown(result)}, which is neither a number, a bool nor a Score")
    value = float(result)
    if not 0 <= value <= 1:
        raise EvaluatorError(f"{path} returned {value}, which is not between 0 and 1")
    return Score(value, f"{path} says {value:.3g}")
