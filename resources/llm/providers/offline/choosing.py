"""Picks one of a closed set of values: labels, enum members, or values the demonstrations gave."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from domain.identity import canonical_json
from resources.llm.providers.offline.similarity import Prototypes, TextSpace

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")


class Chooser:
    """One of `values` for a text.

    Args:
        values: JSON values, at least one.
        label_texts: what is said about each value.
        examples: (text, value); values that are not in `values` are left out.
    """

    def __init__(
        self, space: TextSpace, values: Sequence[Any], label_texts: Sequence[str], examples: Sequence[tuple[str, Any]]
    ) -> None:
        self._values = values
        positions = {canonical_json(value): position for position, value in enumerate(values)}
        known = [(text, positions.get(canonical_json(value))) for text, value in examples]
        placed = [(text, position) for text, position in known if position is not None]
        self._prototypes = Prototypes(space, placed, label_texts)

    def choose(self, text: str) -> Any:
        """The value whose label text and demonstrations `text` is closest to."""
        return self._values[self._prototypes.best(text)]


def distinct(values: Sequence[Any]) -> list[Any]:
    """`values` without repeats, in order."""
    return list({canonical_json(value): value for value in values}.values())


def label_texts(values: Sequence[Any], descriptions: Sequence[str], instructions: str) -> list[str]:
    """Name, description and the sentences of `instructions` that speak of this label alone, for each label."""
    names = [_spoken(value) for value in values]
    said: list[list[str]] = [[name, text] for name, text in zip(names, descriptions, strict=True)]
    patterns = [_mention(value, name) for value, name in zip(values, names, strict=True)]
    for sentence in _SENTENCE_END.split(instructions):
        mentioned = [at for at, pattern in enumerate(patterns) if pattern is not None and pattern.search(sentence)]
        if len(mentioned) == 1:
            said[mentioned[0]].append(sentence)
    return [" ".join(parts) for parts in said]


def _spoken(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    return re.sub(r"[_\-/]+", " ", value if isinstance(value, str) else canonical_json(value))


def _mention(value: Any, name: str) -> re.Pattern[str] | None:
    if not name.strip():
        return None
    return re.compile(rf"(?<!\w)(?:{re.escape(str(value))}|{re.escape(name)})(?!\w)", re.IGNORECASE)
