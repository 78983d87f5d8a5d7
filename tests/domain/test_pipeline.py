"""What a later template sees of an earlier step's answer."""

from __future__ import annotations

import pytest

from domain.contracts import ChoiceContract, JsonContract, NumberContract, OutputContract, TextContract
from domain.errors import OutputParseError
from domain.pipeline import step_value

JSON = JsonContract(json_schema={"type": "object"})


@pytest.mark.parametrize(
    ("contract", "text", "value"),
    [
        (TextContract(), "  as it is \n", "as it is"),
        (TextContract(reasoning=True), "First this.\nAnswer: then that", "then that"),
        (ChoiceContract(choices=["Refund", "other"]), '"refund".', "Refund"),
        (NumberContract(), "1,204.0", "1204"),
        (NumberContract(), "$0.50", "0.5"),
        (JSON, '```json\n{"b": "é", "a": [1.0]}\n```', '{"a":[1.0],"b":"é"}'),
    ],
)
def test_the_value_as_plain_text(contract: OutputContract, text: str, value: str) -> None:
    assert step_value(contract, text) == value


@pytest.mark.parametrize(("contract", "text"), [(NumberContract(), "many"), (JSON, "[1]"), (JSON, "{")])
def test_a_broken_answer_has_no_value(contract: OutputContract, text: str) -> None:
    with pytest.raises(OutputParseError):
        step_value(contract, text)
