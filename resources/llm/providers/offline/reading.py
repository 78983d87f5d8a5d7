"""Reads the rendered messages of one prompt step back into contract, demonstrations and input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from domain.contracts import (
    CHOICE_LEAD,
    JSON_LEAD,
    NUMBER_LEAD,
    REASONING_LEAD,
    ChoiceContract,
    JsonContract,
    NumberContract,
    OutputContract,
    TextContract,
)
from domain.errors import FaultClass, ProviderError
from domain.message import Message

MEND = "offline/nearest is not a language model: set prompt.model to a real one."


@dataclass(frozen=True, slots=True)
class PromptReading:
    """What stands before the input of one request.

    Attributes:
        instructions: the system prompt without its contract section.
        demonstrations: (rendered input, answer) pairs, verbatim.
    """

    instructions: str
    contract: OutputContract
    demonstrations: tuple[tuple[str, str], ...]


def read_prefix(messages: Sequence[Message]) -> PromptReading:
    """Read everything but the last message.

    Raises:
        ProviderError: INVALID_REQUEST; these are not the messages of a task's prompt.
    """
    rest = list(messages)
    system = rest.pop(0).content if rest and rest[0].role == "system" else ""
    turns = [message.role for message in rest]
    if turns != ["user", "assistant"] * (len(turns) // 2):
        raise not_a_prompt("its messages are not a system text, demonstrations in turns and one input")
    demonstrations = tuple((rest[at].content, rest[at + 1].content) for at in range(0, len(rest), 2))
    instructions, contract = _split_contract(system)
    if isinstance(contract, TextContract) and not demonstrations:
        raise not_a_prompt("it has neither an output contract nor demonstrations, which free text needs")
    return PromptReading(instructions, contract, demonstrations)


def not_a_prompt(reason: str) -> ProviderError:
    """The refusal of a request that this provider cannot answer honestly."""
    return ProviderError(
        f"offline/nearest answers prompts of tasks only: {reason}",
        fault=FaultClass.INVALID_REQUEST,
        never_sent=True,
        mend=MEND,
    )


def _split_contract(system: str) -> tuple[str, OutputContract]:
    for lead in (CHOICE_LEAD, JSON_LEAD, NUMBER_LEAD):
        before, found, body = system.rpartition(lead)
        if found:
            instructions, reasoning, at_start = _split_reasoning(before)
            contract = _contract(lead, body, reasoning) if at_start else None
            if contract is not None:
                return instructions, contract
    instructions, found, body = system.rpartition(REASONING_LEAD)
    if found and not body:
        return instructions.rstrip("\n"), TextContract(reasoning=True)
    return system, TextContract()


def _split_reasoning(before: str) -> tuple[str, bool, bool]:
    """Instructions, whether the contract asks for reasoning, and whether it starts a paragraph as the renderer's do."""
    head = before.removesuffix(f"{REASONING_LEAD}\n")
    return head.removesuffix("\n\n"), head != before, not head or head.endswith("\n\n")


def _contract(lead: str, body: str, reasoning: bool) -> OutputContract | None:
    try:
        if lead == NUMBER_LEAD:
            return None if body else NumberContract(reasoning=reasoning)
        if not body.startswith("\n"):
            return None
        if lead == JSON_LEAD:
            return JsonContract.model_validate({"reasoning": reasoning, "schema": json.loads(body)})
        return _choices(body[1:].split("\n"), reasoning)
    except (ValidationError, ValueError, RecursionError):
        return None


def _choices(lines: list[str], reasoning: bool) -> ChoiceContract | None:
    if not all(line.startswith("- ") for line in lines):
        return None
    pairs = [line.removeprefix("- ").partition(": ") for line in lines]
    return ChoiceContract(reasoning=reasoning, choices={label: description for label, _, description in pairs})
