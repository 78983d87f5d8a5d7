"""Names of a prompt's fields inside a DSPy program, which does not bear every name."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.prompt import PromptStep, PromptVersion
from domain.rendering import fields_read, template_fields

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN_PREFIXES = ("dspy_", "model_", "field_")


@dataclass(frozen=True, slots=True)
class StepFields:
    """One step's DSPy field names.

    Attributes:
        inputs: by the template's name, in alphabetical order.
        output: the field that holds the answer's verbatim text.
    """

    step: PromptStep
    inputs: Mapping[str, str]
    output: str


@dataclass(frozen=True, slots=True)
class ProgramFields:
    """All fields of a program.

    Attributes:
        rows: DSPy names of the row fields that any template reads, by the row's name.
        steps: one entry per step, in order.
    """

    rows: Mapping[str, str]
    steps: tuple[StepFields, ...]

    @property
    def label(self) -> str:
        """The field of the last step's answer, which a labelled row fills."""
        return self.steps[-1].output


def program_fields(prompt: PromptVersion, taken: Collection[str]) -> ProgramFields:
    """DSPy names for the prompt's fields: their own names wherever DSPy allows.

    Args:
        taken: names DSPy uses itself.

    Raises:
        TemplateError: a template is not valid.
    """
    reads = [template_fields(step.output_prompt) for step in prompt.steps]
    used: set[str] = set(taken)
    rows = {name: _allot(name, used) for name in sorted(fields_read(prompt))}
    answers = {step.name: _allot(step.name, used) for step in prompt.steps}
    steps: list[StepFields] = []
    visible = dict(rows)
    for step, wanted in zip(prompt.steps, reads, strict=True):
        inputs = {name: visible[name] for name in sorted(wanted)}
        steps.append(StepFields(step, inputs, answers[step.name]))
        visible[step.name] = answers[step.name]
    return ProgramFields(rows, tuple(steps))


def _allot(name: str, used: set[str]) -> str:
    plain = _PLAIN.fullmatch(name) and not keyword.iskeyword(name) and not name.startswith(_TAKEN_PREFIXES)
    base = name if plain else "field_"
    candidate, number = (base, 1) if plain else (f"{base}1", 1)
    while candidate in used:
        number += 1
        candidate = f"{base}_{number}" if plain else f"{base}{number}"
    used.add(candidate)
    return candidate
