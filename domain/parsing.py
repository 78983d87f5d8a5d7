"""The one output parser, the renderer's counterpart: answer text to value, and back for demonstrations."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from math import isfinite
from typing import Any, cast

import jsonschema
from jsonschema.exceptions import ValidationError, best_match  # pyright: ignore[reportUnknownVariableType]
from jsonschema.protocols import Validator

from domain.contracts import ANSWER_MARKER, ChoiceContract, JsonContract, NumberContract, OutputContract, TextContract
from domain.errors import InputError, OutputParseError
from domain.identity import canonical_json

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FENCE = re.compile(r"^```[a-zA-Z]*\n(.*?)\n?```$", re.DOTALL)
_TRIM = " \t\r\n\"'`*."
_BEFORE_NUMBER = _TRIM.replace(".", "") + "$£€"
_AFTER_NUMBER = _TRIM + "$£€%"


def parse_output(contract: OutputContract, text: str) -> Any:
    """The value an answer stands for: a label, a float, a dict or the text itself.

    Raises:
        OutputParseError: the answer does not meet the contract.
    """
    answer = _final_answer(text) if contract.reasoning else text
    if isinstance(contract, ChoiceContract):
        return _parse_choice(contract, answer)
    if isinstance(contract, NumberContract):
        return _parse_number(answer)
    if isinstance(contract, JsonContract):
        return _parse_json(contract, answer)
    return answer.strip()


def format_output(contract: OutputContract, value: Any) -> str:
    """The text a perfect model would answer for `value`; `parse_output` gives `value` back.

    Raises:
        InputError: `value` does not meet the contract.
    """
    text = _json_text(value) if isinstance(contract, JsonContract) else _plain(value)
    answer = f"{ANSWER_MARKER} {text}" if contract.reasoning else text
    try:
        parsed = parse_output(contract, answer)
    except OutputParseError as error:
        raise InputError(
            f"{text[:80]!r} does not meet the output contract: {error.problem}", mend=error.mend
        ) from error
    if isinstance(contract, TextContract) and parsed != text.strip():
        raise InputError(
            f"{text[:80]!r} holds the marker `{ANSWER_MARKER}`, which ends the reasoning",
            mend="reword the value, or set reasoning: false.",
        )
    return answer


def _json_text(value: Any) -> str:
    try:
        return canonical_json(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{value!r:.80} is not JSON: {error}", mend="give a JSON object.") from error


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _final_answer(text: str) -> str:
    _, marker, tail = text.rpartition(ANSWER_MARKER)
    if not marker:
        raise OutputParseError(
            f"the answer has no `{ANSWER_MARKER}` line", mend="raise max_output_tokens if the reasoning was cut short."
        )
    return tail


def _parse_choice(contract: ChoiceContract, text: str) -> str:
    by_name = {label.casefold(): label for label in contract.choices}
    for wanted in (text.strip(), text.strip(_TRIM)):
        if wanted.casefold() in by_name:
            return by_name[wanted.casefold()]
    raise OutputParseError(
        f"{text.strip()[:80]!r} is none of the declared labels", mend=f"declared: {', '.join(contract.choices)}."
    )


def _parse_number(text: str) -> float:
    candidate = text.lstrip(_BEFORE_NUMBER).rstrip(_AFTER_NUMBER)
    if not candidate or not _NUMBER.fullmatch(candidate):
        raise OutputParseError(f"{text.strip()[:80]!r} is not a number", mend="the answer must be the number alone.")
    try:
        number = float(candidate.replace(",", ""))
    except ValueError as error:
        raise OutputParseError(f"{text.strip()[:80]!r} is not a number") from error
    if not isfinite(number):
        raise OutputParseError(f"{text.strip()[:80]!r} is too large a number", mend="the answer must be below 1e308.")
    return number


def _parse_json(contract: JsonContract, text: str) -> dict[str, Any]:
    stripped = text.strip()
    fenced = _FENCE.match(stripped)
    try:
        value: Any = json.loads(fenced.group(1) if fenced else stripped, parse_constant=_refuse_constant)
        canonical_json(value).encode("utf-8")  # 1e999 and half a surrogate pair load, and could not be stored
    except (ValueError, RecursionError) as error:
        raise OutputParseError(
            f"the answer is not JSON: {error}", mend="the answer must be one JSON object."
        ) from error
    try:
        errors = _validator(canonical_json(contract.json_schema)).iter_errors(value)
        failure = cast("ValidationError | None", best_match(errors))
    except RecursionError as error:
        raise OutputParseError("the answer is nested too deeply to be checked") from error
    except OverflowError as error:  # as `multipleOf` with a fraction
        raise OutputParseError("the answer holds a number too large to be checked") from error
    if failure is not None:
        place = ".".join(str(part) for part in failure.absolute_path) or "the object"
        raise OutputParseError(f"the answer breaks its schema at {place}: {failure.message[:200]}", field=place)
    return cast(dict[str, Any], value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


@lru_cache(maxsize=256)
def _validator(schema_text: str) -> Validator:
    return jsonschema.Draft202012Validator(json.loads(schema_text))
