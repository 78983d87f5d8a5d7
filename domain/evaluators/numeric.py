"""Numeric: the answer is the expected number within a tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.contracts import NumberContract, OutputContract, TextContract
from domain.errors import InputError, OutputParseError
from domain.evaluators.equality import within
from domain.evaluators.expected import expected_value
from domain.evaluators.score import NO_INPUTS, Score, unparsable, verdict
from domain.evaluators.specs import NumericSpec
from domain.parsing import parse_output


class Numeric:
    """1 when |answer − expected| ≤ max(absolute tolerance, relative tolerance × |expected|).

    Raises:
        InputError: the output contract is neither a number nor text that may be one.
    """

    def __init__(self, spec: NumericSpec, contract: OutputContract) -> None:
        if not isinstance(contract, NumberContract | TextContract):
            raise InputError(
                f"numeric needs an output of kind number or text, and the last step's is {contract.kind}",
                field="evaluators",
                mend="declare output: {kind: number}, or use the evaluator made for that kind.",
            )
        self.name = spec.kind
        self._absolute = spec.absolute_tolerance
        self._relative = spec.relative_tolerance
        self._contract = NumberContract(reasoning=contract.reasoning)

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`."""
        wanted: float = expected_value(self._contract, expected)
        try:
            actual: float = parse_output(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        right = within(wanted, actual, max(self._absolute, self._relative * abs(wanted)))
        return verdict(right=right, expected=wanted, actual=actual)

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        expected_value(self._contract, expected)
