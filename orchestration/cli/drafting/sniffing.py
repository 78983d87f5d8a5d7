"""What kind of answer a column holds, judged from its values."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from domain.contracts import NumberContract
from domain.errors import OutputParseError
from domain.parsing import parse_output

MAX_LABELS = 500
MAX_LABEL_CHARACTERS = 80
ROWS_PER_LABEL = 3
NUMERIC_LABELS = 10
SHORT_TEXT_CHARACTERS = 60
MOST = 0.95
# GSM8K's way to mark the number after the reasoning; others have taken it over.
MARKED_NUMBER = re.compile(r"####\s*(-?[0-9][0-9.,]*)\s*$")

JSON_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
    (type(None), "null"),
)


@dataclass(frozen=True, slots=True)
class ChoiceAnswers:
    """One of a few labels, in alphabetical order; of several spellings the commonest."""

    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumberAnswers:
    """Numbers; `pattern` finds each inside a worked solution, where that is what the column holds."""

    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class JsonAnswers:
    """Objects that all meet `schema`."""

    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TextAnswers:
    """Free text; lengths in characters."""

    mean_length: float
    longest: int


Answers = ChoiceAnswers | NumberAnswers | JsonAnswers | TextAnswers


def sniff(values: Sequence[Any]) -> Answers:
    """The kind of a column's non-empty values; at least one is needed."""
    objects = _objects(values)
    if objects is not None:
        return JsonAnswers(object_schema(objects))
    texts = [value.strip() if isinstance(value, str) else str(value) for value in values]
    if _share(MARKED_NUMBER.search(text) is not None for text in texts) >= MOST:
        return NumberAnswers(MARKED_NUMBER.pattern)
    labels = _labels(texts)
    if all(_is_number(text) for text in texts):
        few = labels is not None and len(labels) <= NUMERIC_LABELS and all(label.isdigit() for label in labels)
        return ChoiceAnswers(labels) if labels is not None and few else NumberAnswers()
    if labels is not None:
        return ChoiceAnswers(labels)
    lengths = [len(text) for text in texts]
    return TextAnswers(sum(lengths) / len(lengths), max(lengths))


def object_schema(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A JSON schema that all `objects` meet: the fields all have are required, few short texts become an enum."""
    names = list(dict.fromkeys(name for one in objects for name in one))
    properties = {name: _property([one[name] for one in objects if name in one]) for name in names}
    required = [name for name in names if all(name in one for one in objects)]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _property(values: list[Any]) -> dict[str, Any]:
    types = [name for kind, name in JSON_TYPES if any(type(value) is kind for value in values)]
    if types == ["string"]:
        labels = _labels(values)
        if labels is not None and len(labels) <= 2 * NUMERIC_LABELS:
            return {"enum": list(labels)}
    if "number" in types and "integer" in types:
        types.remove("integer")
    return {"type": types[0] if len(types) == 1 else types}


def _objects(values: Sequence[Any]) -> list[dict[str, Any]] | None:
    objects: list[dict[str, Any]] = []
    for value in values:
        found = value
        if isinstance(value, str):
            try:
                found = json.loads(value) if value.lstrip().startswith("{") else None
            except (ValueError, RecursionError):
                return None
        if not isinstance(found, dict):
            return None
        objects.append(found)
    return objects


def _labels(texts: Sequence[str]) -> tuple[str, ...] | None:
    """The distinct values, if there are few and each is short and stands for several rows."""
    spellings = Counter(texts)
    chosen: dict[str, str] = {}
    for text, _ in spellings.most_common():
        chosen.setdefault(text.casefold(), text)
        if len(chosen) > MAX_LABELS:
            return None
    if len(chosen) < 2 or len(texts) < ROWS_PER_LABEL * len(chosen):
        return None
    fits = all(0 < len(text) <= MAX_LABEL_CHARACTERS and "\n" not in text and ": " not in text for text in texts)
    return tuple(sorted(chosen.values(), key=str.casefold)) if fits else None


def _is_number(text: str) -> bool:
    try:
        parse_output(NumberContract(), text)
    except OutputParseError:
        return False
    return True


def _share(found: Iterable[bool]) -> float:
    answers = list(found)
    return sum(answers) / len(answers)
