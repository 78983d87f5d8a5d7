"""Which dataset rows a prompt's demonstrations are, told by their text: a prompt version knows no row ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.dataset import Row
from domain.prompt import Demonstration, PromptVersion

_Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One demonstration. `row_id` and `split` are None where no row has its inputs: a person wrote it."""

    step: str
    number: int
    row_id: str | None
    split: str | None


def rows_shown(prompt: PromptVersion, rows: Iterable[Row]) -> list[ShownRow]:
    """Every demonstration of `prompt` with the row of `rows` whose text it shows.

    A demonstration has the fields its step's template reads, so that it is compared in those only. Where several rows
    agree in them, the first by row id is named.
    """
    ordered = sorted(rows, key=lambda row: row.row_id)
    known: dict[tuple[str, ...], dict[_Fields, Row]] = {}
    shown: list[ShownRow] = []
    for step in prompt.steps:
        for number, demonstration in enumerate(step.demonstrations, start=1):
            names = _row_fields(demonstration, ordered[0].inputs if ordered else {})
            if names not in known:
                known[names] = _by_text(ordered, names)
            row = known[names].get(_text(demonstration.inputs, names)) if names else None
            shown.append(ShownRow(step.name, number, row.row_id if row else None, str(row.split) if row else None))
    return shown


def _row_fields(demonstration: Demonstration, inputs: Mapping[str, str]) -> tuple[str, ...]:
    """The demonstration's fields that rows have; the others are answers of earlier steps."""
    return tuple(sorted(name for name in demonstration.inputs if name in inputs))


def _by_text(ordered: list[Row], names: tuple[str, ...]) -> dict[_Fields, Row]:
    found: dict[_Fields, Row] = {}
    for row in ordered:
        found.setdefault(_text(row.inputs, names), row)
    return found


def _text(inputs: Mapping[str, str], names: tuple[str, ...]) -> _Fields:
    return tuple((name, inputs[name]) for name in names)
