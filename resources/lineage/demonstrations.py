"""Which dataset rows a prompt's demonstrations are, told by their text: a prompt version knows no row ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.dataset import Row
from domain.prompt import Demonstration, PromptVersion

_Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One demonstration.

    Attributes:
        row_id: the row it shows; None where no row has its inputs (a person wrote it), or where several have them: a
            later step may read one field of a row, such as its language.
        split: of that row, or of all of them where they are of one split.
        alike: how many rows have its inputs.
    """

    step: str
    number: int
    row_id: str | None
    split: str | None
    alike: int


def rows_shown(prompt: PromptVersion, rows: Iterable[Row]) -> list[ShownRow]:
    """Every demonstration of `prompt` with the row of `rows` whose text it shows.

    A demonstration has the fields its step's template reads, so that it is compared in those only.
    """
    given = list(rows)
    known: dict[tuple[str, ...], dict[_Fields, list[Row]]] = {}
    shown: list[ShownRow] = []
    for step in prompt.steps:
        for number, demonstration in enumerate(step.demonstrations, start=1):
            names = _row_fields(demonstration, given[0].inputs if given else {})
            if names not in known:
                known[names] = _by_text(given, names)
            alike = known[names].get(_text(demonstration.inputs, names), []) if names else []
            shown.append(_shown(step.name, number, alike))
    return shown


def _shown(step: str, number: int, alike: list[Row]) -> ShownRow:
    splits = {str(row.split) for row in alike}
    return ShownRow(
        step,
        number,
        row_id=alike[0].row_id if len(alike) == 1 else None,
        split=splits.pop() if len(splits) == 1 else None,
        alike=len(alike),
    )


def _row_fields(demonstration: Demonstration, inputs: Mapping[str, str]) -> tuple[str, ...]:
    """The demonstration's fields that rows have; the others are answers of earlier steps."""
    return tuple(sorted(name for name in demonstration.inputs if name in inputs))


def _by_text(rows: list[Row], names: tuple[str, ...]) -> dict[_Fields, list[Row]]:
    found: dict[_Fields, list[Row]] = {}
    for row in rows:
        found.setdefault(_text(row.inputs, names), []).append(row)
    return found


def _text(inputs: Mapping[str, str], names: tuple[str, ...]) -> _Fields:
    return tuple((name, inputs[name]) for name in names)
