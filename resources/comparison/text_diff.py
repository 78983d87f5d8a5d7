"""Two texts side by side: lines that belong together on one level, the words that differ marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from domain.contracts import contract_section
from domain.prompt import Demonstration, PromptStep, PromptVersion

CONTEXT = 3
_ALIKE = 0.4
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")

RowKind = Literal["same", "changed", "removed", "added", "gap"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; `marked` where it differs from the other side."""

    text: str
    marked: bool = False


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One level of the two columns; a `gap` stands for `skipped` lines that are the same."""

    kind: RowKind
    before: tuple[Piece, ...] = ()
    after: tuple[Piece, ...] = ()
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a prompt, compared."""

    title: str
    rows: tuple[DiffRow, ...]

    @property
    def removed(self) -> int:
        """Lines of the first version that differ or are gone."""
        return sum(row.kind in ("changed", "removed") for row in self.rows)

    @property
    def added(self) -> int:
        """Lines of the second version that differ or are new."""
        return sum(row.kind in ("changed", "added") for row in self.rows)

    @property
    def kept(self) -> bool:
        """Whether the two have any line in common."""
        return any(row.kind in ("same", "gap") for row in self.rows)

    @property
    def differs(self) -> bool:
        """Whether anything in it is not the same."""
        return bool(self.removed or self.added)


def compare_prompts(before: PromptVersion, after: PromptVersion) -> list[Section]:
    """Everything the two versions' ids hash, part by part; steps are matched by name, in the first one's order."""
    sections = [Section("Model and parameters", side_by_side(_settings(before), _settings(after)))]
    old = {step.name: step for step in before.steps}
    new = {step.name: step for step in after.steps}
    for name in dict.fromkeys([*old, *new]):
        prefix = "" if len(old) == len(new) == 1 else f"Step {name}: "
        for title, lines in _PARTS.items():
            rows = side_by_side(*(lines(steps[name]) if name in steps else [] for steps in (old, new)))
            if rows:
                sections.append(Section(f"{prefix}{title}", rows))
    return sections


def side_by_side(before: Sequence[str], after: Sequence[str]) -> tuple[DiffRow, ...]:
    """The rows of two texts given as lines; long runs of equal lines are folded into a gap."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    rows: list[DiffRow] = []
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag == "equal":
            rows.extend(DiffRow("same", (Piece(line),), (Piece(line),)) for line in before[start:end])
        else:
            rows.extend(_changed(before[start:end], after[other_start:other_end]))
    return tuple(_folded(rows))


def _changed(before: Sequence[str], after: Sequence[str]) -> Iterator[DiffRow]:
    """Lines in pairs while they resemble each other, the rest removed or added."""
    pairs = min(len(before), len(after))
    for old, new in zip(before, after, strict=False):
        pair = _WORDS.findall(old), _WORDS.findall(new)
        words = SequenceMatcher(None, *pair, autojunk=False)
        if words.ratio() < _ALIKE:
            yield DiffRow("removed", (Piece(old),))
            yield DiffRow("added", after=(Piece(new),))
        else:
            yield DiffRow("changed", *_pieces(words, *pair))
    yield from (DiffRow("removed", (Piece(line),)) for line in before[pairs:])
    yield from (DiffRow("added", after=(Piece(line),)) for line in after[pairs:])


def _pieces(
    words: SequenceMatcher[str], old: Sequence[str], new: Sequence[str]
) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The two lines, cut where they begin or cease to differ."""
    before: list[Piece] = []
    after: list[Piece] = []
    for tag, start, end, other_start, other_end in words.get_opcodes():
        before.append(Piece("".join(old[start:end]), tag != "equal"))
        after.append(Piece("".join(new[other_start:other_end]), tag != "equal"))
    return tuple(piece for piece in before if piece.text), tuple(piece for piece in after if piece.text)


def _folded(rows: list[DiffRow]) -> Iterator[DiffRow]:
    near = [False] * len(rows)
    for position, row in enumerate(rows):
        if row.kind != "same":
            for neighbour in range(max(0, position - CONTEXT), min(len(rows), position + CONTEXT + 1)):
                near[neighbour] = True
    if not any(near):
        yield from rows
        return
    skipped = 0
    for row, shown in zip(rows, near, strict=True):
        if not shown:
            skipped += 1
            continue
        if skipped:
            yield DiffRow("gap", skipped=skipped)
            skipped = 0
        yield row
    if skipped:
        yield DiffRow("gap", skipped=skipped)


def _settings(prompt: PromptVersion) -> list[str]:
    values = {"model": prompt.model, **prompt.parameters.model_dump(mode="json", exclude_none=True)}
    return [f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()]


def _demonstrations(step: PromptStep) -> list[str]:
    return [line for one in step.demonstrations for line in _demonstration(one)]


def _demonstration(one: Demonstration) -> list[str]:
    inputs = [line for name, text in one.inputs.items() for line in f"{name}: {text}".splitlines()]
    return [*inputs, *f"→ {one.output}".splitlines()]


_PARTS = {
    "System prompt": lambda step: step.system_prompt.splitlines(),
    "Output contract, as told to the model": lambda step: contract_section(step.output).splitlines(),
    "Output prompt (the template)": lambda step: step.output_prompt.splitlines(),
    "Demonstrations": _demonstrations,
}
