"""Models for the loopback server whose correctness depends on the demonstrations, by rules of the tests' own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from loop.workplace import LABELS, MARKS, label_of

Body = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a request shows: the row it asks about and, per mark, the answers its demonstrations give."""

    text: str
    shown: dict[str, list[str]]

    @property
    def mark(self) -> str:
        return mark_in(self.text)


def read(body: Body) -> Reading:
    """Take a chat request apart."""
    turns = [message for message in body["messages"] if message["role"] != "system"]
    shown: dict[str, list[str]] = {}
    for question, answer in zip(turns[:-1:2], turns[1:-1:2], strict=True):
        shown.setdefault(mark_in(question["content"]), []).append(answer["content"])
    return Reading(turns[-1]["content"], shown)


def mark_in(text: str) -> str:
    """The mark a row is about."""
    return next(mark for mark in MARKS if text.endswith(mark))


def learns(body: Body) -> str:
    """Repeats what a demonstration of the same mark says; without one it guesses the same label every time."""
    reading = read(body)
    return reading.shown.get(reading.mark, [LABELS[0]])[-1]


@dataclass(frozen=True)
class Overfits:
    """Right wherever it is shown demonstrations, except on the rows of these tokens: there they lead it astray."""

    tokens: Collection[str]

    def __call__(self, body: Body) -> str:
        reading = read(body)
        right = label_of(reading.mark)
        wrong = LABELS[(LABELS.index(right) + 1) % len(LABELS)]
        unseen = any(token in reading.text for token in self.tokens)
        if unseen:
            return wrong if reading.shown else right
        return right if reading.shown else wrong
