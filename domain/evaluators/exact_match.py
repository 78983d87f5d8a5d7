"""Exact match: the parsed answer is the expected value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.contracts import OutputContract
from domain.errors import OutputParseError
from domain.evaluators.equality import same_value
from domain.evaluators.expected import expected_value
from domain.evaluators.score import NO_INPUTS, Score, unparsable, verdict
from domain.evaluators.specs import ExactMatchSpec
from domain.parsing import parse_output


class ExactMatch:
    """1 when the answer equals the expected value, white space (and, by default, case) apart."""

    def __init__(self, spec: ExactMatchSpec, contract: OutputContract) -> None:
        self.name = spec.kind
        self._ignore_case = spec.ignore_case
        self._contract = contract

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`."""
        wanted = expected_value(self._contract, expected)
        try:
            actual = parse_output(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        right = same_value(wanted, actual, ignore_case=self._ignore_case)
        return verdict(right=right, expected=wanted, actual=actual)

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        expected_value(self._contract, expected)
