"""Rows of a batch: from what a source holds to what a prompt is asked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.dataset import MAX_CELL_CHARACTERS, cell_text
from domain.errors import InputError

OWN_FIELD = "_promptory"
"""Where dead-letter rows say what became of them; a source's column of that name is ignored."""


@dataclass(frozen=True, slots=True)
class InputRow:
    """One row.

    Attributes:
        number: 1-based place in the batch; the order of the results.
        source_row: 1-based line or row in the source.
        key: the user's own key, as text.
        inputs: normalised text by field, in the task's order.
        problem: why the row cannot be used; then `inputs` holds what the source gave, as far as it is text.
    """

    number: int
    source_row: int
    key: str | None
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    problem: str | None = None


def make_input_row(
    number: int,
    source_row: int,
    values: Mapping[str, Any],
    fields: Sequence[str],
    key: str | None,
    problem: str | None = None,
) -> InputRow:
    """The row of a source's values; one that cannot be used says why in `problem` and is kept all the same."""
    own = _shown(values.get(key)) if key else None
    if problem is None:
        try:
            return InputRow(number, source_row, own, _inputs(values, fields))
        except InputError as error:
            problem = f"{error.field}: {error.problem}" if error.field else error.problem
    shown = {name: text for name in fields if (text := _shown(values.get(name))) is not None}
    return InputRow(number, source_row, own, shown, problem)


def _inputs(values: Mapping[str, Any], fields: Sequence[str]) -> dict[str, str]:
    inputs = {name: _text(values, name) for name in fields}
    if not any(inputs.values()):
        raise InputError("every input is empty", field=fields[0])
    return inputs


def _text(values: Mapping[str, Any], name: str) -> str:
    # Null may be meant; of an absent field nobody knows, and a batch has no list of columns to hold it against.
    if name not in values:
        raise InputError("the field is missing", field=name)
    return cell_text(values[name], name)


def _shown(value: Any) -> str | None:
    """What a person would recognise the value by; never more than a cell may hold."""
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    text = text[:MAX_CELL_CHARACTERS].replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
