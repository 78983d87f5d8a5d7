"""What an evaluator says about one answer, and the shape every evaluator has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from domain.errors import OutputParseError

SHOWN_CHARACTERS = 80
NO_INPUTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Score:
    """One answer's score.

    Attributes:
        value: 0 (wrong) to 1 (right).
        reason: one line for people that says why.
        parsed: the evaluator could read the answer; False where the answer breaks its contract and so scores 0.

    Raises:
        ValueError: `value` is outside 0 to 1, or NaN.
    """

    value: float
    reason: str
    parsed: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"a score lies between 0 and 1, not {self.value}")


class Evaluator(Protocol):
    """Scores answers against expected values; the same arguments always give the same score."""

    @property
    def name(self) -> str:
        """The key its scores are stored under: the spec's `score_name`."""
        ...

    def score(self, expected: Any, text: str, inputs: Mapping[str, str] = NO_INPUTS, /) -> Score:
        """The score of the answer `text` to the row's `inputs`; an answer that breaks the output contract scores 0.

        Raises:
            InputError: `expected` cannot be scored, as `check_expected` would have said.
            EvaluatorError: the evaluator itself failed.
        """
        ...

    def check_expected(self, expected: Any) -> None:
        """Refuse an expected value no answer can be scored against.

        Raises:
            InputError: naming the value and the mend.
        """
        ...


def unparsable(error: OutputParseError) -> Score:
    """The score of an answer that cannot be read: 0, since the prompt that let the model answer so is at fault."""
    return Score(0.0, error.problem, parsed=False)


def shown(value: Any) -> str:
    """`value` for a reason or a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def verdict(*, right: bool, expected: Any, actual: Any) -> Score:
    """1 or 0, with both sides in the reason."""
    if right:
        return Score(1.0, f"{shown(actual)} is right")
    return Score(0.0, f"expected {shown(expected)}, got {shown(actual)}")
