"""Answers inputs of one prompt step from nothing but that step's rendered messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from domain.contracts import (
    ANSWER_MARKER,
    ChoiceContract,
    JsonContract,
    NumberContract,
    OutputContract,
    TextContract,
)
from domain.errors import InputError, OutputParseError
from domain.identity import canonical_json
from domain.parsing import format_output, parse_output
from resources.llm.providers.offline.choosing import Chooser, label_texts
from resources.llm.providers.offline.field_readers import FieldReader, SeenReader, field_reader, spec_texts
from resources.llm.providers.offline.fields import FieldSpec, field_spec
from resources.llm.providers.offline.reading import PromptReading
from resources.llm.providers.offline.similarity import Featurise, TextSpace

# Where too few inputs are shown to see the template around them, one leading `Message: ` is taken for it.
_FIELD_MARK = re.compile(r"\A[^\W\d_]+(?: [^\W\d_]+){0,2}:\s+")
NO_NUMBER = "There is no number in the input."


class StepReader:
    """Built once for everything before the input; `answer` is then cheap.

    Args:
        reading: contract, instructions and demonstrations.
        featurise: from a text to its features; may be cached.
    """

    def __init__(self, reading: PromptReading, featurise: Featurise) -> None:
        self._contract = reading.contract
        self._frame = _common_frame([text for text, _ in reading.demonstrations])
        examples = [
            (self._unframe(text), value)
            for text, output in reading.demonstrations
            for value in _value(reading.contract, output)
        ]
        self._known = {_normal(text): value for text, value in examples}
        self._reader = _contract_reader(reading, examples, featurise)

    def answer(self, text: str) -> str:
        """The answer to the rendered input `text`, in the contract's form."""
        own = self._unframe(text)
        known = _normal(own)
        # An input that is a demonstration word for word has that demonstration's answer.
        value = self._known[known] if known in self._known else self._reader.read(own)
        return _format(self._contract, value)

    def _unframe(self, text: str) -> str:
        if self._frame is None:
            return _FIELD_MARK.sub("", text, count=1)
        before, after = self._frame
        if len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after):
            return text[len(before) : len(text) - len(after)]
        return text


def _contract_reader(reading: PromptReading, examples: Sequence[tuple[str, Any]], featurise: Featurise) -> FieldReader:
    inputs = [text for text, _ in examples]
    contract = reading.contract
    if isinstance(contract, TextContract):
        return SeenReader(FieldSpec("other", ""), examples, TextSpace(inputs, featurise))
    if isinstance(contract, ChoiceContract):
        return _ChoiceReader(contract, reading.instructions, examples, featurise)
    if isinstance(contract, NumberContract):
        spec = FieldSpec("number", reading.instructions)
    else:
        spec = field_spec("", contract.json_schema, contract.json_schema)
    space = TextSpace([*inputs, *spec_texts(spec, reading.instructions)], featurise)
    return field_reader(spec, examples, space, reading.instructions)


class _ChoiceReader:
    def __init__(
        self, contract: ChoiceContract, instructions: str, examples: Sequence[tuple[str, Any]], featurise: Featurise
    ) -> None:
        labels = list(contract.choices)
        texts = label_texts(labels, list(contract.choices.values()), instructions)
        space = TextSpace([*(text for text, _ in examples), *texts], featurise)
        self._chooser = Chooser(space, labels, texts, examples)

    def read(self, text: str) -> Any:
        """A label."""
        return self._chooser.choose(text)


def _value(contract: OutputContract, output: str) -> list[Any]:
    """The demonstration's value, or nothing where it breaks the contract; free text stays verbatim."""
    if isinstance(contract, TextContract):
        return [output]
    try:
        return [parse_output(contract, output)]
    except OutputParseError:
        return []


def _format(contract: OutputContract, value: Any) -> str:
    if isinstance(contract, TextContract):
        return value
    if value is None:
        value = {} if isinstance(contract, JsonContract) else NO_NUMBER
    try:
        return format_output(contract, value)
    except InputError:  # said as it is: the parser downstream is the judge of answers
        text = canonical_json(value) if isinstance(contract, JsonContract) else str(value)
        return f"{ANSWER_MARKER} {text}" if contract.reasoning else text


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _common_frame(inputs: Sequence[str]) -> tuple[str, str] | None:
    """What the template put around every input, as whole `name: ` marks and lines; None where one cannot tell."""
    if len(inputs) < 2:
        return None
    shared = _shared_start(inputs)
    before = shared[: max((shared.rfind(mark) + len(mark) for mark in (": ", "\n") if mark in shared), default=0)]
    after = _shared_start([text[len(before) :][::-1] for text in inputs])[::-1]
    return before, after[after.find("\n") :] if "\n" in after else ""


def _shared_start(texts: Sequence[str]) -> str:
    # What the first and the last in order share, all between them share.
    first, last = min(texts), max(texts)
    length = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:length]
