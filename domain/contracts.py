"""Output contracts: what a step's answer must look like, as told to the model and as checked afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast

import jsonschema
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_serializer, field_validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from domain.identity import canonical_json

CHOICE_LEAD = "Answer with exactly one of these labels and nothing else:"
JSON_LEAD = "Answer with one JSON object and nothing else. It must satisfy this JSON schema:"
NUMBER_LEAD = "Answer with one number and nothing else."
REASONING_LEAD = "First reason step by step. Then write the final answer on a last line that starts with `Answer:`."
ANSWER_MARKER = "Answer:"


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reasoning: bool = Field(
        default=False, description="The model reasons first; the answer follows the last `Answer:` marker."
    )


class TextContract(_Contract):
    """Any text."""

    kind: Literal["text"] = "text"


class ChoiceContract(_Contract):
    """Exactly one of the declared labels."""

    kind: Literal["choice"] = "choice"
    choices: dict[str, str] = Field(
        min_length=2, description="Label to description, in the order shown; a list of labels is accepted."
    )

    @field_validator("choices", mode="before")
    @classmethod
    def _accept_list(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        pairs = [_label_and_description(entry) for entry in cast(list[Any], value)]
        if len({label for label, _ in pairs}) != len(pairs):
            raise ValueError("a label is listed twice")
        return dict(pairs)

    @field_serializer("choices")
    def _keep_order(self, value: dict[str, str]) -> list[list[str]]:
        """As pairs: the order is part of the prompt, and canonical JSON would sort a mapping's keys away."""
        return [[label, description] for label, description in value.items()]

    @field_validator("choices")
    @classmethod
    def _labels_are_lines(cls, value: dict[str, str]) -> dict[str, str]:
        for label, description in value.items():
            if not label.strip() or label != label.strip() or "\n" in label + description or ": " in label:
                raise ValueError(f"label {label!r} must be one trimmed line without ': ', its description one line")
        if len({label.casefold() for label in value}) != len(value):
            raise ValueError("two labels differ only in case")
        return value


class NumberContract(_Contract):
    """One number."""

    kind: Literal["number"] = "number"


class JsonContract(_Contract):
    """One JSON object that meets a schema (JSON Schema 2020-12)."""

    kind: Literal["json"] = "json"
    json_schema: dict[str, JsonValue] = Field(alias="schema")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @field_validator("json_schema")
    @classmethod
    def _schema_is_valid(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            jsonschema.Draft202012Validator.check_schema(value)
        except jsonschema.SchemaError as error:
            raise ValueError(f"not a JSON schema: {error.message}") from error
        if value.get("type") != "object":
            raise ValueError("the schema's type must be `object`")
        _check_references(value)
        return value


OutputContract = Annotated[
    TextContract | ChoiceContract | NumberContract | JsonContract,
    Field(discriminator="kind"),
]


def _label_and_description(entry: Any) -> tuple[str, str]:
    if isinstance(entry, list):
        pair = cast(list[Any], entry)
        if len(pair) == 2:
            return str(pair[0]), str(pair[1])
    elif isinstance(entry, bool):
        raise ValueError(f"the label {entry} is a YAML boolean; put quotes around it")  # noqa: TRY004 (pydantic's way)
    elif isinstance(entry, str | int | float):
        return str(entry), ""
    raise ValueError(f"{entry!r} is not a label; write a list of labels or a mapping of label to description")


def _check_references(schema: dict[str, JsonValue]) -> None:
    """A reference that leads nowhere, or out of the schema, would otherwise fail on the first answer."""
    resolver = Registry[Any]().with_resource("", DRAFT202012.create_resource(cast(Any, schema))).resolver()
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ValueError(f"the reference {reference!r} leads out of the schema; put the definition in its $defs")
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            raise ValueError(f"the reference {reference!r} leads nowhere in the schema") from error


def _references(node: JsonValue) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def contract_section(contract: OutputContract) -> str:
    """The text that tells a model the contract; empty for plain text."""
    lead = f"{REASONING_LEAD}\n" if contract.reasoning else ""
    if isinstance(contract, ChoiceContract):
        lines = (f"- {label}: {text}" if text else f"- {label}" for label, text in contract.choices.items())
        return lead + "\n".join([CHOICE_LEAD, *lines])
    if isinstance(contract, JsonContract):
        return f"{lead}{JSON_LEAD}\n{canonical_json(contract.json_schema)}"
    if isinstance(contract, NumberContract):
        return lead + NUMBER_LEAD
    return lead.rstrip("\n")
