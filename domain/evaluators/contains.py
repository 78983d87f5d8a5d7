"""Contains: the expected text occurs in the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.contracts import OutputContract
from domain.errors import OutputParseError
from domain.evaluators.equality import collapse
from domain.evaluators.expected import answer_text, expected_text
from domain.evaluators.score import NO_INPUTS, Score, shown, unparsable
from domain.evaluators.specs import ContainsSpec


class Contains:
    """1 when the answer contains the expected text, white space (and, by default, case) apart."""

    def __init__(self, spec: ContainsSpec, contract: OutputContract) -> None:
        self.name = spec.kind
        self._ignore_case = spec.ignore_case
        self._contract = contract

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`."""
        wanted = expected_text(expected)
        try:
            actual = answer_text(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        if collapse(wanted, ignore_case=self._ignore_case) in collapse(actual, ignore_case=self._ignore_case):
            return Score(1.0, f"the answer contains {shown(wanted)}")
        return Score(0.0, f"{shown(wanted)} is not in {shown(actual)}")

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        expected_text(expected)
