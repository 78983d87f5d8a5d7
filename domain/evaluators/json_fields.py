"""JSON fields: the share of the expected object's fields that the answer has right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from domain.contracts import JsonContract, OutputContract
from domain.errors import InputError, OutputParseError
from domain.evaluators.equality import same_value
from domain.evaluators.expected import expected_value
from domain.evaluators.score import NO_INPUTS, Score, shown, unparsable
from domain.evaluators.specs import JsonFieldsSpec
from domain.parsing import parse_output


class JsonFields:
    """Right fields / looked-at fields: `spec.fields`, or every field of the expected object.

    Texts are compared white space and case apart, numbers within the tolerance; an expected null
    is met by a field that is absent.

    Raises:
        InputError: the output contract is not JSON, or its schema does not know a named field.
    """

    def __init__(self, spec: JsonFieldsSpec, contract: OutputContract) -> None:
        if not isinstance(contract, JsonContract):
            raise InputError(
                f"json_fields needs an output of kind json, and the last step's is {contract.kind}",
                field="evaluators",
                mend="declare output: {kind: json, schema: ...}, or use exact_match.",
            )
        _refuse_unknown_fields(spec.fields, contract)
        self.name = spec.kind
        self._fields = spec.fields
        self._tolerance = spec.absolute_tolerance
        self._contract = contract

    def score(self, expected: Any, text: str, _inputs: Mapping[str, str] = NO_INPUTS) -> Score:
        """See `Evaluator.score`."""
        wanted = self._wanted(expected)
        try:
            actual: dict[str, Any] = parse_output(self._contract, text)
        except OutputParseError as error:
            return unparsable(error)
        wrong = [
            f"{field}: expected {shown(value)}, got {shown(actual.get(field))}"
            for field, value in wanted.items()
            if not same_value(value, actual.get(field), ignore_case=True, tolerance=self._tolerance)
        ]
        right = len(wanted) - len(wrong)
        return Score(right / len(wanted), "; ".join([f"{right} of {len(wanted)} fields are right", *wrong]))

    def check_expected(self, expected: Any) -> None:
        """See `Evaluator.check_expected`."""
        self._wanted(expected)

    def _wanted(self, expected: Any) -> dict[str, Any]:
        value: dict[str, Any] = expected_value(self._contract, expected)
        missing = [field for field in self._fields if field not in value]
        if missing or not value:
            lacking = f"has no field {', '.join(missing)}" if missing else "has no fields"
            raise InputError(
                f"the expected value {shown(value)} {lacking}",
                mend="add the field to the row, or take it out of the evaluator's `fields`.",
            )
        return {field: value[field] for field in self._fields or value}


def _refuse_unknown_fields(fields: tuple[str, ...], contract: JsonContract) -> None:
    properties = contract.json_schema.get("properties")
    if not isinstance(properties, dict):
        return
    unknown = sorted(set(fields) - set(cast(dict[str, Any], properties)))
    if unknown:
        raise InputError(
            f"json_fields looks at {', '.join(unknown)}, which the output's schema does not declare",
            field="evaluators.json_fields.fields",
            mend=f"declared: {', '.join(properties) or 'none'}.",
        )
