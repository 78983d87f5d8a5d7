"""How the steps of a prompt chain: what a later template sees of an earlier step's answer."""

from __future__ import annotations

import json
from typing import Any

from domain.contracts import JsonContract, OutputContract
from domain.identity import canonical_json
from domain.parsing import parse_output


def step_value(contract: OutputContract, text: str) -> str:
    """The plain text that stands for a step's answer under the step's name in later templates.

    It is the parsed value, not the answer: reasoning, code fences and white space are gone, a label has its declared
    spelling, a whole number no decimals, and a JSON object its one canonical text. A step whose answer breaks its
    contract ends the row: no later step is asked.

    Raises:
        OutputParseError: the answer does not meet the contract.
    """
    value = parse_output(contract, text)
    return canonical_json(value) if isinstance(contract, JsonContract) else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)
