"""What two texts are compared by: word stems, word pairs and character n-grams."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import pairwise

# How much each kind of feature says, found on held-out rows of English support messages and banking questions.
STEM_WEIGHT = 1.0
PAIR_WEIGHT = 0.4
PIECE_WEIGHT = 0.3
FUNCTION_WORD_WEIGHT = 0.2
PIECE_LENGTHS = (3, 4)
MAX_WORDS = 2_000

_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?|[?!]")
_DIGIT = "#"
_SUFFIXES = (
    *("ization", "ations", "ation", "ingly", "edly", "ments", "ment", "ness", "ings", "ing", "ies", "ied"),
    *("ers", "est", "ely", "ed", "es", "er", "ly", "s", "y", "e"),
)
_FUNCTION_WORD_TEXT = """
about after again all also am an and any are as at be because been before being but by can could did do does doing for
from had has have having he her here hers him his how if in into is it its itself just me more most my of on once only
or other our out over own per please she so some such than that the their them then there these they this those through
to too under until up us very was we were what when where which while who whom why will with would you your yours
hi hello dear thanks thank regards a i ? !
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORD_TEXT.split())


def words(text: str) -> list[str]:
    """The words of `text` in order: NFKC, lower case, without possessive `'s`; every number is `#`."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text))[:MAX_WORDS]
    return [_DIGIT if word[0].isdigit() else word.lower().replace("’", "'").removesuffix("'s") for word in found]


def stem(word: str) -> str:
    """`word` without its inflection; at least three letters stay."""
    if len(word) <= 3 or not word.isalpha():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return _undouble(word.removesuffix(suffix))
    return word


def weighted_features(text: str) -> dict[str, float]:
    """Feature to weight times count; the first letter of a feature names its kind."""
    found = words(text)
    content = [word for word in found if word not in _FUNCTION_WORDS]
    counts: Counter[str] = Counter()
    counts.update("w" + stem(word) for word in content)
    counts.update("f" + word for word in found if word in _FUNCTION_WORDS)
    counts.update(f"p{stem(first)} {stem(second)}" for first, second in pairwise(found))
    for word in content:
        framed = f"<{word}>"
        for length in PIECE_LENGTHS:
            counts.update("c" + framed[start : start + length] for start in range(len(framed) - length + 1))
    return {feature: _WEIGHTS[feature[0]] * count**0.5 for feature, count in counts.items()}


_WEIGHTS = {"w": STEM_WEIGHT, "p": PAIR_WEIGHT, "c": PIECE_WEIGHT, "f": FUNCTION_WORD_WEIGHT}


def _undouble(stemmed: str) -> str:
    doubled = len(stemmed) > 3 and stemmed[-1] == stemmed[-2] and stemmed[-1] not in "aeiouls"
    return stemmed[:-1] if doubled else stemmed
