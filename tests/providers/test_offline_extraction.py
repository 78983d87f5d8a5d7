from __future__ import annotations

import json
from typing import Any

import pytest
from offline_prompts import read, send, step

from domain.contracts import (
    JsonContract,
    NumberContract,
)
from domain.errors import OutputParseError
from domain.parsing import parse_output


async def test_numbers_are_copied_as_the_demonstrations_copy_them() -> None:
    shown = (
        ("order 4711: refund 12 pounds", 12),
        ("order 815, refund 7.50 pounds please", 7.5),
        ("refund 100 pounds for order 99", 100),
    )
    assert await read(step(NumberContract(), *shown), "order 31: refund 1,240.25 pounds") == 1240.25


async def test_without_demonstrations_the_first_free_number_is_taken() -> None:
    assert await read(step(NumberContract()), "HP-4711 came with three plates and 12 cups") == 3


async def test_an_input_without_a_number_is_not_given_one() -> None:
    answer = await send(step(NumberContract()), "nothing here")
    with pytest.raises(OutputParseError):
        parse_output(NumberContract(), answer.text)


REFUND = JsonContract.model_validate(
    {
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "required": ["order", "reason", "amount"],
            "properties": {
                "order": {"type": ["string", "null"]},
                "reason": {"enum": ["damaged", "late"]},
                "amount": {"type": ["number", "null"], "minimum": 0},
            },
        }
    }
)
SHOWN = (
    ("the mug is damaged, AB-123, give me 12 pounds", {"order": "AB-123", "reason": "damaged", "amount": 12.0}),
    ("damaged box! AB-777. No money wanted", {"order": "AB-777", "reason": "damaged", "amount": None}),
    ("it came 3 days late. 8.50 pounds for CD-100", {"order": "CD-100", "reason": "late", "amount": 8.5}),
    ("late again, 2 weeks, what a firm", {"order": None, "reason": "late", "amount": None}),
    ("give me 20 pounds for late XY-404", {"order": "XY-404", "reason": "late", "amount": 20.0}),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("damaged plate, ZZ-900, give me 31 pounds", {"order": "ZZ-900", "reason": "damaged", "amount": 31.0}),
        ("late by 5 weeks: QR-555", {"order": "QR-555", "reason": "late", "amount": None}),
        ("late, what a firm", {"order": None, "reason": "late", "amount": None}),
    ],
)
async def test_fields_are_chosen_copied_or_null(text: str, expected: dict[str, Any]) -> None:
    assert await read(step(REFUND, *SHOWN), text) == expected


async def test_letters_follow_the_case_the_demonstrations_write() -> None:
    contract = JsonContract.model_validate(
        {"schema": {"type": "object", "required": ["code"], "properties": {"code": {"type": "string"}}}}
    )
    shown = (("code ab-1 please", {"code": "AB-1"}), ("my code cd-2 fails", {"code": "CD-2"}))
    assert await read(step(contract, *shown), "is code xy-9 fine?") == {"code": "XY-9"}


async def test_without_demonstrations_the_schema_guides() -> None:
    contract = JsonContract.model_validate(
        {
            "schema": {
                "type": "object",
                "required": ["id", "mail", "kind", "count", "note", "urgent"],
                "properties": {
                    "id": {"type": "string", "pattern": "^HP-[0-9]{5}$"},
                    "mail": {"type": "string", "format": "email"},
                    "kind": {"enum": ["late_parcel", "broken_item"]},
                    "count": {"type": "integer"},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "urgent": {"type": "boolean", "description": "needs help today"},
                },
            }
        }
    )
    text = "HP-12345: 3 items broken, mail me: jo@example.org"
    assert await read(step(contract), text) == {
        "id": "HP-12345",
        "mail": "jo@example.org",
        "kind": "broken_item",
        "count": 3,
        "note": None,
        "urgent": True,
    }


async def test_nested_objects_and_arrays_follow_the_demonstrations() -> None:
    contract = JsonContract.model_validate(
        {
            "schema": {
                "type": "object",
                "properties": {
                    "who": {"$ref": "#/$defs/person"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "$defs": {"person": {"type": "object", "properties": {"name": {"type": "string"}}}},
            }
        }
    )
    shown = (
        ("my name is Ann, I like tea", {"who": {"name": "Ann"}, "tags": ["tea"]}),
        ("my name is Bob, a rocket man", {"who": {"name": "Bob"}, "tags": ["space", "rocket"]}),
    )
    expected = {"who": {"name": "Zoe"}, "tags": ["space", "rocket"]}
    assert await read(step(contract, *shown), "my name is Zoe, I build a rocket") == expected


async def test_json_answers_are_json() -> None:
    assert json.loads((await send(step(REFUND), "late")).text)["reason"] == "late"
