"""Reading expected values: the same contract that parses answers says what an expected value means."""

from __future__ import annotations

from typing import Any

from domain.contracts import OutputContract, TextContract
from domain.errors import InputError
from domain.evaluators.score import shown
from domain.parsing import format_output, parse_output

BLANK_MEND = "fill in the expected answer or remove the row."


def expected_value(contract: OutputContract, expected: Any) -> Any:
    """`expected` as a perfect answer would be parsed: the declared label, a float, a dict or trimmed text.

    Raises:
        InputError: it is blank or does not meet the contract.
    """
    refuse_blank(expected)
    return parse_output(contract, format_output(contract, expected))


def expected_text(expected: Any) -> str:
    """`expected` as text, numbers as a person would write them.

    Raises:
        InputError: it is blank, or a list or an object.
    """
    refuse_blank(expected)
    if isinstance(expected, list | dict):
        raise InputError(
            f"the expected value {shown(expected)} is not text",
            mend="give text there, or declare an output of kind json and the evaluator json_fields.",
        )
    return format_output(TextContract(), expected)


def refuse_blank(expected: Any) -> None:
    """Refuse an expected value that is missing or empty.

    Raises:
        InputError: it is.
    """
    if expected is None or (isinstance(expected, str) and not expected.strip()):
        raise InputError(f"the expected value {shown(expected)} is blank", mend=BLANK_MEND)


def answer_text(contract: OutputContract, text: str) -> str:
    """The final answer as text, whatever the contract says it means.

    Raises:
        OutputParseError: the contract asks for reasoning and the answer never got to its final line.
    """
    return parse_output(TextContract(reasoning=contract.reasoning), text)
