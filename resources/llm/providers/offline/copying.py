"""Learns from demonstrations which span of an input a field copies, and when it copies none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from resources.llm.providers.offline.candidates import Candidate

CandidatesOf = Callable[[str], list[Candidate]]

# Pseudo-counts: how many spans' worth of doubt a trait must overcome.
DOUBT = 2.0


class Copied(NamedTuple):
    """A demonstration's input and what it copied; `value` is None where it copied nothing."""

    text: str
    value: str | float | None


class SpanCopier:
    """Naive Bayes over span traits: copied spans against all others.

    The bar a span must clear to be copied at all is set on the demonstrations themselves, each scored without its own
    counts.

    Args:
        candidates_of: spans of a text.
        demonstrations: with at least one copied value.
    """

    def __init__(self, candidates_of: CandidatesOf, demonstrations: Sequence[Copied]) -> None:
        self._candidates_of = candidates_of
        self._copied: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._n_copied = self._n_others = 0
        spans = [(shown, candidates_of(shown.text)) for shown in demonstrations]
        for shown, candidates in spans:
            self._count(shown, candidates, 1)
        self._bar = self._learn_bar(spans)

    def best(self, text: str, is_allowed: Callable[[str | float], bool]) -> tuple[Candidate | None, bool]:
        """The likeliest allowed span (the first of equals), and whether it clears the bar."""
        allowed = [candidate for candidate in self._candidates_of(text) if is_allowed(candidate.value)]
        if not allowed:
            return None, False
        best = max(allowed, key=self._score)
        return best, self._score(best) > self._bar

    def _score(self, candidate: Candidate) -> float:
        return sum(self._evidence(trait) for trait in candidate.traits)

    def _evidence(self, trait: str) -> float:
        copied, others = self._copied[trait], self._others[trait]
        seen = (copied + others + 0.5) / (self._n_copied + self._n_others + 1)
        as_copied = (copied + DOUBT * seen) / (self._n_copied + DOUBT)
        as_other = (others + DOUBT * seen) / (self._n_others + DOUBT)
        return math.log(as_copied / as_other)

    def _count(self, shown: Copied, candidates: Sequence[Candidate], times: int) -> None:
        for candidate in candidates:
            if shown.value is not None and same_value(candidate.value, shown.value):
                self._n_copied += times
                self._copied.update(dict.fromkeys(candidate.traits, times))
            else:
                self._n_others += times
                self._others.update(dict.fromkeys(candidate.traits, times))

    def _learn_bar(self, spans: Sequence[tuple[Copied, list[Candidate]]]) -> float:
        found: list[float] = []
        absent: list[float] = []
        for shown, candidates in spans:
            if not candidates:
                continue
            self._count(shown, candidates, -1)
            best = max(map(self._score, candidates))
            self._count(shown, candidates, 1)
            (absent if shown.value is None else found).append(best)
        return _separating(found, absent) if absent else -math.inf


def same_value(one: str | float, other: str | float) -> bool:
    """Equal numbers, or texts that differ in case only."""
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() == other.casefold()
    return one == other


def _separating(found: Sequence[float], absent: Sequence[float]) -> float:
    """The bar with the fewest scores on the wrong side; the middle of the gap it stands in."""
    scores = sorted({*found, *absent})
    bars = [scores[0] - 1, *((low + high) / 2 for low, high in pairwise(scores)), scores[-1] + 1]
    return min(bars, key=lambda bar: sum(score <= bar for score in found) + sum(score > bar for score in absent))
