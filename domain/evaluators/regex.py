"""Regular expression: the answer matches a pattern, or what its group captures is the expected text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from domain.contracts import OutputContract
from domain.errors import OutputParseError
from domain.evaluators.expected import answer_text, expected_text
from domain.evaluators.score import NO_INPUTS, Score, shown, unparsable, verdict
from domain.evaluators.specs import RegexSpec


class Regex:
    """1 when `pattern` is found in the answer; with a group, when its first group equals the expected text."""

    def __init__(self, spec: RegexSpec, contract: OutputContract) -> None:
        self.name = spec.kind
        self._pattern = re.compile(spec.pattern)
        self._contract = contract

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`; without a group in the pattern, `expected` is not looked at."""
        wanted = expected_text(expected) if self._pattern.groups else None
        try:
            actual = answer_text(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        match = self._pattern.search(actual)
        if match is None:
            return Score(0.0, f"the pattern is not found in {shown(actual)}")
        if wanted is None:
            return Score(1.0, f"the pattern matches {shown(match.group())}")
        captured = match.group(1)
        right = captured is not None and captured.strip() == wanted
        return verdict(right=right, expected=wanted, actual=captured)

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        if self._pattern.groups:
            expected_text(expected)
