"""Text similarity: how alike answer and expected text are, letter by letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import sqrt
from typing import Any

from domain.contracts import OutputContract
from domain.errors import OutputParseError
from domain.evaluators.equality import collapse
from domain.evaluators.expected import answer_text, expected_text
from domain.evaluators.score import NO_INPUTS, Score, unparsable
from domain.evaluators.specs import TextSimilaritySpec


class TextSimilarity:
    """Cosine between the n-gram counts of both texts, 0 (nothing in common) to 1 (the same n-grams as often).

    It forgives inflection, spelling and order of words, and knows nothing of meaning: "refused" and "not refused" are
    alike, "car" and "automobile" are not. Needs no model and no download, and is the same everywhere.
    """

    def __init__(self, spec: TextSimilaritySpec, contract: OutputContract) -> None:
        self.name = spec.score_name
        self._length = spec.ngram
        self._ignore_case = spec.ignore_case
        self._contract = contract

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`."""
        wanted = expected_text(expected)
        try:
            actual = answer_text(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        left, right = self._ngrams(wanted), self._ngrams(actual)
        value = cosine(left, right)
        shared = len(left.keys() & right.keys())
        return Score(
            value, f"cosine {value:.3f}; {shared} of {len(left | right)} character {self._length}-grams shared"
        )

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        expected_text(expected)

    def _ngrams(self, text: str) -> Counter[str]:
        return character_ngrams(collapse(text, ignore_case=self._ignore_case), self._length)


def character_ngrams(text: str, length: int) -> Counter[str]:
    """How often each run of `length` characters occurs in `text` with a space before and after it.

    The spaces let beginnings and ends of the text count; a text shorter than one n-gram is one. Blank text has none.
    """
    if not text:
        return Counter()
    padded = f" {text} "
    return Counter(padded[start : start + length] for start in range(max(1, len(padded) - length + 1)))


def cosine(left: Counter[str], right: Counter[str]) -> float:
    """Σ lᵢ·rᵢ / √(Σ lᵢ² · Σ rᵢ²), the cosine of two count vectors; 0 where one of them is empty."""
    if not left or not right:
        return 0.0
    dot = sum(count * right[ngram] for ngram, count in left.items())
    squares = sum(count * count for count in left.values()) * sum(count * count for count in right.values())
    return min(1.0, dot / sqrt(squares))
