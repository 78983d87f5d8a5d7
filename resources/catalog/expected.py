"""The expected answer of a row: from its columns to the value the output contract declares."""

from __future__ import annotations

import json
import re
from typing import Any

from domain.contracts import JsonContract, NumberContract, OutputContract
from domain.dataset import normalise_text
from domain.errors import InputError, OutputParseError
from domain.parsing import parse_output


def expected_value(
    output: str | tuple[str, ...],
    values: dict[str, Any],
    contract: OutputContract,
    pattern: re.Pattern[str] | None,
) -> Any:
    """A label, number, text or JSON object, as `contract` says.

    Raises:
        InputError: the cell is empty, does not match the pattern, or does not fit the contract.
    """
    if isinstance(output, tuple):
        return {name: values.get(name) for name in output}
    value = values.get(output)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InputError("the expected answer is empty", field=output, mend="fill it, or drop the row.")
    if pattern is not None:
        value = _extract(pattern, str(value), output)
    if isinstance(contract, JsonContract):
        return _json_object(value, output)
    if isinstance(contract, NumberContract):
        return _number(value, output)
    return normalise_text(value if isinstance(value, str) else str(value))


def _extract(pattern: re.Pattern[str], text: str, field: str) -> str:
    found = pattern.search(text)
    if found is None:
        raise InputError(
            f"{text[-60:]!r} does not match dataset.answer_pattern", field=field, mend="correct the row or the pattern."
        )
    return found.group(1) if pattern.groups else found.group(0)


def _json_object(value: Any, field: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise InputError(f"the expected answer is not JSON: {error}", field=field, mend="write one object.") from error


def _number(value: Any, field: str) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        return parse_output(NumberContract(), str(value))
    except (OutputParseError, OverflowError) as error:
        raise InputError(f"{str(value)[:60]!r} is not a number", field=field, mend="write digits only.") from error
