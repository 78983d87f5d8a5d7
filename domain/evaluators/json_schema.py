"""JSON schema: the answer is a JSON object that meets a schema, whatever its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from domain.contracts import JsonContract, OutputContract
from domain.errors import InputError, OutputParseError
from domain.evaluators.expected import expected_value, refuse_blank
from domain.evaluators.score import NO_INPUTS, Score, shown
from domain.evaluators.specs import JsonSchemaSpec
from domain.parsing import parse_output


class JsonSchema:
    """1 when the answer meets the spec's schema, or the output contract's where the spec has none.

    Raises:
        InputError: there is no schema, or it is not one for objects.
    """

    def __init__(self, spec: JsonSchemaSpec, contract: OutputContract) -> None:
        self.name = spec.kind
        self._contract = _schema_contract(spec, contract)
        self._expects_text = not isinstance(contract, JsonContract)

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:  # noqa: ARG002 (the schema alone decides)
        """See `Evaluator.score`; `expected` is not looked at."""
        try:
            parse_output(self._contract, text)
        except OutputParseError as error:
            return Score(0.0, error.problem)
        return Score(1.0, "the answer meets the schema")

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`: demonstrations are made of expected values, so they must pass too."""
        if not self._expects_text or not isinstance(expected, str):
            expected_value(self._contract, expected)
            return
        refuse_blank(expected)
        try:
            parse_output(self._contract.model_copy(update={"reasoning": False}), expected)
        except OutputParseError as error:
            raise InputError(f"{shown(expected)}: {error.problem}", mend=error.mend) from error


def _schema_contract(spec: JsonSchemaSpec, contract: OutputContract) -> JsonContract:
    if spec.json_schema is None:
        if isinstance(contract, JsonContract):
            return contract
        raise InputError(
            f"json_schema has no schema of its own, and the last step's output is of kind {contract.kind}",
            field="evaluators",
            mend="give the evaluator a schema, or declare output: {kind: json, schema: ...}.",
        )
    try:
        return JsonContract(schema=spec.json_schema, reasoning=contract.reasoning)
    except ValidationError as error:
        problem = "; ".join(item["msg"] for item in error.errors())
        raise InputError(
            f"the schema of json_schema is not usable: {problem}",
            field="evaluators.json_schema.schema",
            mend="write a JSON Schema (2020-12) whose type is `object`.",
        ) from error
