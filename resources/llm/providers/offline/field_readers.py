"""One reader per field of an answer: choose from a set, copy from the input, or fill an object."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from resources.llm.providers.offline.candidates import (
    Candidate,
    is_embedded,
    number_candidates,
    text_candidates,
)
from resources.llm.providers.offline.choosing import Chooser, distinct, label_texts
from resources.llm.providers.offline.copying import Copied, SpanCopier, same_value
from resources.llm.providers.offline.features import stem, words
from resources.llm.providers.offline.fields import FieldSpec
from resources.llm.providers.offline.similarity import TextSpace

Examples = Sequence[tuple[str, Any]]
LONGEST_COPY = 8
LONGEST_GUESS = 4
COPYABLE_SHARE = 0.5

_CASES: tuple[Callable[[str], str], ...] = (str, str.upper, str.lower, str.title, str.capitalize)


class FieldReader(Protocol):
    """Reads one field's value out of a text; None where it finds none."""

    def read(self, text: str) -> Any:
        """A JSON value, or None."""
        ...


def spec_texts(spec: FieldSpec, instructions: str) -> list[str]:
    """Every text the readers of `spec` compare inputs with, for the space they share."""
    if spec.kind == "enum":
        return _enum_texts(spec, instructions)
    return [text for part in spec.properties.values() for text in spec_texts(part, instructions)]


def field_reader(spec: FieldSpec, examples: Examples, space: TextSpace, instructions: str) -> FieldReader:
    """The reader for `spec`, taught by (input, value) pairs."""
    if spec.kind == "object":
        return ObjectReader(spec, examples, space, instructions)
    if spec.kind == "enum":
        return EnumReader(spec, examples, space, instructions)
    if spec.kind == "other":
        return SeenReader(spec, examples, space)
    return _copying_reader(spec, examples, space)


class EnumReader:
    """One of the schema's values, or null where demonstrations taught that."""

    def __init__(self, spec: FieldSpec, examples: Examples, space: TextSpace, instructions: str) -> None:
        values = list(spec.values)
        texts = _enum_texts(spec, instructions)
        if spec.nullable and any(value is None for _, value in examples):
            values.append(None)
            texts.append("")
        self._chooser = Chooser(space, values, texts, examples) if values else None

    def read(self, text: str) -> Any:
        """A member of the enum, or None."""
        return self._chooser.choose(text) if self._chooser else None


class SeenReader:
    """One of the values the demonstrations gave; for fields that cannot be copied."""

    def __init__(self, spec: FieldSpec, examples: Examples, space: TextSpace) -> None:
        values = distinct([value for _, value in examples if value is not None or spec.nullable])
        self._chooser = Chooser(space, values, [""] * len(values), examples) if values else None

    def read(self, text: str) -> Any:
        """A value seen before, or None where there was none."""
        return self._chooser.choose(text) if self._chooser else None


class GuessingReader:
    """Copies without demonstrations: by pattern, or the first number, preferring one next to the field's words."""

    def __init__(self, spec: FieldSpec) -> None:
        self._spec = spec
        self._about = {f"{side}:{stem(word)}" for word in words(spec.about) for side in ("left", "right")}

    def read(self, text: str) -> Any:
        """A string or number of the text, or None."""
        if self._spec.kind != "string":
            return self._number(text)
        if self._spec.pattern is None:
            return None
        allowed = [str(c.value) for c in text_candidates(text, LONGEST_GUESS) if self._spec.allows(c.value)]
        shortest = min(allowed, key=lambda span: span.count(" "), default=None)
        return shortest or _search_within(self._spec.pattern, text)

    def _number(self, text: str) -> float | None:
        allowed = [candidate for candidate in number_candidates(text) if self._spec.allows(candidate.value)]
        best = max(
            allowed, key=lambda c: (not is_embedded(text, c.start, c.end), len(c.traits & self._about)), default=None
        )
        return None if best is None else float(best.value)


class CopyingReader:
    """Copies as the demonstrations do; falls back on a guess by pattern, then on values seen before."""

    def __init__(self, spec: FieldSpec, copier: SpanCopier, case: Callable[[str], str], fallback: FieldReader) -> None:
        self._spec = spec
        self._copier = copier
        self._case = case
        self._guess = GuessingReader(spec)
        self._fallback = fallback

    def read(self, text: str) -> Any:
        """A string or number of the text, or None where none is likely and null is allowed."""
        best, is_likely = self._copier.best(text, self._allows)
        if best is not None and (is_likely or not self._spec.nullable):
            return self._case(best.value) if isinstance(best.value, str) else best.value
        if self._spec.nullable:
            return None
        guessed = self._guess.read(text)
        return self._fallback.read(text) if guessed is None else guessed

    def _allows(self, value: str | float) -> bool:
        return self._spec.allows(self._case(value) if isinstance(value, str) else value)


class ObjectReader:
    """Every property by its own reader; what has no value is null, empty or left out, as the schema allows."""

    def __init__(self, spec: FieldSpec, examples: Examples, space: TextSpace, instructions: str) -> None:
        self._spec = spec
        objects = [(text, value) for text, value in examples if isinstance(value, dict)]
        self._readers = {
            name: field_reader(part, [(text, value.get(name)) for text, value in objects], space, instructions)
            for name, part in spec.properties.items()
        }

    def read(self, text: str) -> dict[str, Any]:
        """The object."""
        answer: dict[str, Any] = {}
        for name, part in self._spec.properties.items():
            value = _typed(part, self._readers[name].read(text))
            if value is None and not part.nullable and part.kind == "string" and name in self._spec.required:
                value = ""
            if value is not None or part.nullable:
                answer[name] = value
        return answer


def _copying_reader(spec: FieldSpec, examples: Examples, space: TextSpace) -> FieldReader:
    wanted = str if spec.kind == "string" else (int, float)
    taught = [(text, value) for text, value in examples if isinstance(value, wanted) and not isinstance(value, bool)]
    if not taught:
        return GuessingReader(spec)
    longest = min(LONGEST_COPY, max(len(str(value).split()) for _, value in taught))

    def candidates_of(text: str) -> list[Candidate]:
        return text_candidates(text, longest) if spec.kind == "string" else number_candidates(text)

    copied = [(value, _occurrence(candidates_of(text), value)) for text, value in taught]
    if sum(found is not None for _, found in copied) < COPYABLE_SHARE * len(taught):
        return SeenReader(spec, examples, space)
    absent = [(text, None) for text, value in examples if value is None]
    copier = SpanCopier(candidates_of, [Copied(text, value) for text, value in (*taught, *absent)])
    return CopyingReader(spec, copier, _learnt_case(copied), SeenReader(spec, examples, space))


def _occurrence(candidates: Sequence[Candidate], value: str | float) -> str | float | None:
    found = [candidate.value for candidate in candidates if same_value(candidate.value, value)]
    return value if value in found else next(iter(found), None)


def _learnt_case(copied: Sequence[tuple[Any, Any]]) -> Callable[[str], str]:
    """The change of case that explains most demonstrations; the first of equals, and that is none."""
    texts = [(value, found) for value, found in copied if isinstance(found, str)]
    return max(_CASES, key=lambda case: sum(case(found) == value for value, found in texts))


def _enum_texts(spec: FieldSpec, instructions: str) -> list[str]:
    descriptions = [spec.about if value is True else "" for value in spec.values]
    return label_texts(spec.values, descriptions, f"{spec.about}\n{instructions}")


def _search_within(pattern: re.Pattern[str], text: str) -> str | None:
    loose = pattern.pattern.removeprefix("^").removesuffix("$")
    try:
        match = re.search(loose, text)
    except re.error:
        return None
    return match.group() or None if match and pattern.search(match.group()) else None


def _typed(spec: FieldSpec, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return int(value) if spec.kind == "integer" else float(value) if spec.kind == "number" else value
