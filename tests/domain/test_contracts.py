from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

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
    contract_section,
)

contract_adapter: TypeAdapter[OutputContract] = TypeAdapter(OutputContract)


def refusal(value: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        contract_adapter.validate_python(value)
    return str(caught.value)


def test_choices_are_a_list_or_a_mapping() -> None:
    listed = ChoiceContract.model_validate({"choices": ["a", 2]})
    mapped = ChoiceContract.model_validate({"choices": {"a": "first", "2": "second"}})
    assert listed.choices == {"a": "", "2": ""}
    assert mapped.choices == {"a": "first", "2": "second"}


def test_choices_keep_their_order_on_the_way_to_json_and_back() -> None:
    contract = ChoiceContract(choices={"z": "last", "a": "", "m": "mid"})
    again = contract_adapter.validate_python(contract.model_dump(mode="json"))
    assert isinstance(again, ChoiceContract)
    assert list(again.choices.items()) == [("z", "last"), ("a", ""), ("m", "mid")]


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        (["only one"], "at least 2"),
        (["a", "a"], "listed twice"),
        (["a", "A"], "differ only in case"),
        (["a", " b"], "trimmed"),
        (["a", ""], "trimmed"),
        (["a", "b: c"], "': '"),
        ({"a": "one\ntwo", "b": ""}, "one line"),
        (["a", True], "quotes around it"),
        (["a", {"b": "description"}], "mapping of label to description"),
        (["a", ["b"]], "mapping of label to description"),
        (["a", None], "mapping of label to description"),
    ],
)
def test_unusable_choices_are_refused(choices: Any, problem: str) -> None:
    assert problem in refusal({"kind": "choice", "choices": choices})


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("json_schema", "problem"),
    [
        ({"type": "array"}, "must be `object`"),
        ({}, "must be `object`"),
        ({"type": "nonsense"}, "not a JSON schema"),
        (schema(a={"pattern": "("}), "not a JSON schema"),
        (schema(a={"$ref": "http://127.0.0.1:9/schema.json"}), "leads out of the schema"),
        (schema(a={"$ref": "other.json#/a"}), "leads out of the schema"),
        (schema(a={"prefixItems": [{"$ref": "#/$defs/missing"}]}), "leads nowhere"),
    ],
)
def test_unusable_schemas_are_refused(json_schema: dict[str, Any], problem: str) -> None:
    assert problem in refusal({"kind": "json", "schema": json_schema})


def test_references_inside_the_schema_and_a_field_named_like_one_are_fine() -> None:
    own = {**schema(**{"$ref": {"type": "string"}, "a": {"$ref": "#/$defs/b"}}), "$defs": {"b": {"type": "string"}}}
    contract = JsonContract.model_validate({"schema": own})
    assert contract.model_dump(mode="json")["schema"] == own


def test_unknown_fields_and_kinds_are_refused() -> None:
    assert "extra" in refusal({"kind": "text", "colour": "red"}).lower()
    assert "kind" in refusal({"kind": "poem"})


def test_section_of_each_contract() -> None:
    choice = ChoiceContract(choices={"b": "", "a": "about a"})
    assert contract_section(TextContract()) == ""
    assert contract_section(choice) == f"{CHOICE_LEAD}\n- b\n- a: about a"
    assert contract_section(NumberContract()) == NUMBER_LEAD
    assert contract_section(JsonContract(schema={"type": "object"})) == f'{JSON_LEAD}\n{{"type":"object"}}'


@pytest.mark.parametrize(
    "contract",
    [
        TextContract(reasoning=True),
        NumberContract(reasoning=True),
        ChoiceContract(choices={"a": "", "b": ""}, reasoning=True),
        JsonContract(schema={"type": "object"}, reasoning=True),
    ],
)
def test_reasoning_leads_the_section(contract: OutputContract) -> None:
    section = contract_section(contract)
    plain = contract_section(contract.model_copy(update={"reasoning": False}))
    assert section == f"{REASONING_LEAD}\n{plain}".rstrip("\n")
