"""Spans of an input that an answer might have been copied from, and what each looks like."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from resources.llm.providers.offline.features import stem

MAX_TOKENS = 1_000
CONTEXT_WORDS = 3

_TOKEN = re.compile(r"[£$€#@]?\w+(?:[^\w\s,;!?()'\"“”]+\w+)*%?")
_JOINTS = ("-", "_", "/", ":")
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
_CONTEXT_WORD = re.compile(r"[^\W_]+|[^\w\s]")
_MONEY_AFTER = re.compile(r"\s?(?:[£$€¥]|(?:pounds?|dollars?|euros?|gbp|usd|eur)\b)", re.IGNORECASE)
_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_TENS = {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NUMBER_WORDS = {word: value for value, word in enumerate(_UNITS)} | _TENS
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(sorted(NUMBER_WORDS, key=len, reverse=True))})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span and the value it would stand for.

    Attributes:
        value: text for string fields, float for numbers.
        traits: its shape and surroundings.
    """

    value: str | float
    start: int
    end: int
    traits: frozenset[str]


def number_candidates(text: str) -> list[Candidate]:
    """Numbers in digits, and small ones in words, in the order of the text."""
    found: list[Candidate] = []
    for match in _NUMBER.finditer(text):
        start = match.start()
        negative = text[max(0, start - 1) : start] in ("-", "−") and not text[: start - 1][-1:].isalnum()
        value = float(match.group().replace(",", ""))
        if not math.isfinite(value):
            continue
        traits = _surroundings(text, start, match.end()) | {f"digits:{len(match.group().split('.')[0])}"}
        traits |= _kinds(text, match)
        found.append(Candidate(-value if negative else value, start, match.end(), frozenset(traits)))
    for match in _NUMBER_WORD.finditer(text):
        traits = _surroundings(text, match.start(), match.end()) | {"word"}
        value = float(NUMBER_WORDS[match.group().lower()])
        found.append(Candidate(value, match.start(), match.end(), frozenset(traits)))
    return sorted(found[:MAX_TOKENS], key=lambda candidate: candidate.start)


def text_candidates(text: str, longest: int) -> list[Candidate]:
    """Runs of one to `longest` tokens, with and without a leading sign, in the order of the text."""
    tokens = [match.span() for match in _TOKEN.finditer(text)][:MAX_TOKENS]
    return [
        Candidate(text[start:end], start, end, frozenset(_surroundings(text, start, end) | _shape(text[start:end])))
        for start, end in _runs(text, tokens, longest)
    ]


def is_embedded(text: str, start: int, end: int) -> bool:
    """Whether a number is part of something longer, such as an order code or a date."""
    before, after = text[max(0, start - 1) : start], text[end : end + 2]
    goes_on = after[:1].isalpha() or (after[:1] in _JOINTS and after[1:].isalnum())
    return before.isalnum() or before in _JOINTS or goes_on


def _kinds(text: str, number: re.Match[str]) -> set[str]:
    start, end = number.span()
    kinds = {"decimal" if "." in number.group() else "whole"}
    if is_embedded(text, start, end):
        kinds.add("embedded")
    if unicodedata.category(text[max(0, start - 1) : start] or " ") == "Sc" or _MONEY_AFTER.match(text, end):
        kinds.add("money")
    return kinds


def _runs(text: str, tokens: list[tuple[int, int]], longest: int) -> Iterator[tuple[int, int]]:
    for first, (start, _) in enumerate(tokens):
        for _, end in tokens[first : first + longest]:
            yield start, end
            if not text[start].isalnum() and start + 1 < end:
                yield start + 1, end


def _shape(span: str) -> set[str]:
    signs = ["9" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.isalpha() else sign for sign in span]
    collapsed = "".join(sign for at, sign in enumerate(signs) if at == 0 or signs[at - 1] != sign)
    head = re.match(r"[^\W\d_]+", span)
    return {
        f"shape:{''.join(signs)[:24]}",
        f"outline:{collapsed[:24]}",
        f"length:{span.count(' ') + 1}",
        f"head:{head.group().lower()[:12] if head else ''}",
    }


def _surroundings(text: str, start: int, end: int) -> set[str]:
    before = _CONTEXT_WORD.findall(text[max(0, start - 60) : start].lower())[-CONTEXT_WORDS:]
    after = _CONTEXT_WORD.findall(text[end : end + 60].lower())[:CONTEXT_WORDS]
    traits = {f"left:{stem(word)}" for word in before} | {f"right:{stem(word)}" for word in after}
    return traits | {
        f"previous:{stem(before[-1]) if before else ''}",
        f"next:{stem(after[0]) if after else ''}",
        f"touches:{text[max(0, start - 1) : start]}|{text[end : end + 1]}",
    }
