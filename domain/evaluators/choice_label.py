"""Choice label: the answer is the expected one of the declared labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.contracts import ChoiceContract, OutputContract
from domain.errors import InputError, OutputParseError
from domain.evaluators.expected import expected_value
from domain.evaluators.score import NO_INPUTS, Score, unparsable, verdict
from domain.evaluators.specs import ChoiceLabelSpec
from domain.parsing import parse_output


class ChoiceLabel:
    """1 when the answer is the expected label.

    Raises:
        InputError: the output contract declares no labels.
    """

    def __init__(self, spec: ChoiceLabelSpec, contract: OutputContract) -> None:
        if not isinstance(contract, ChoiceContract):
            raise InputError(
                f"choice_label needs an output of kind choice, and the last step's is {contract.kind}",
                field="evaluators",
                mend="declare the labels (output: {kind: choice, choices: [...]}) or use exact_match.",
            )
        self.name = spec.kind
        self._contract = contract

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`."""
        wanted = expected_value(self._contract, expected)
        try:
            actual = parse_output(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        return verdict(right=wanted == actual, expected=wanted, actual=actual)

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        expected_value(self._contract, expected)
