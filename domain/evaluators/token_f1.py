"""Token F1: the overlap of answer and expected text in words, as SQuAD measures it."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping
from typing import Any

from domain.contracts import OutputContract
from domain.errors import OutputParseError
from domain.evaluators.expected import answer_text, expected_text
from domain.evaluators.score import NO_INPUTS, Score, unparsable
from domain.evaluators.specs import TokenF1Spec

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TokenF1:
    """Harmonic mean of token precision and recall, after SQuAD's normalisation."""

    def __init__(self, spec: TokenF1Spec, contract: OutputContract) -> None:
        self.name = spec.kind
        self._contract = contract

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`."""
        wanted = squad_tokens(expected_text(expected))
        try:
            actual = squad_tokens(answer_text(self._contract, text))
        except OutputParseError as error:
            return unparsable(error)
        if not wanted or not actual:
            return Score(float(wanted == actual), "one side has nothing but articles and punctuation")
        shared = sum((Counter(wanted) & Counter(actual)).values())
        reason = f"{shared} shared tokens of {len(wanted)} expected and {len(actual)} answered"
        return Score(2 * shared / (len(wanted) + len(actual)), reason)

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        expected_text(expected)


def squad_tokens(text: str) -> list[str]:
    """Lower-case words without ASCII punctuation and without the articles a, an and the."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()
