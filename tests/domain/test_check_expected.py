from __future__ import annotations

from typing import Any

import pytest

from domain.contracts import ChoiceContract, JsonContract, NumberContract, OutputContract, TextContract
from domain.errors import InputError
from domain.evaluators.registry import build_evaluator, check_expected
from domain.evaluators.specs import (
    ChoiceLabelSpec,
    ContainsSpec,
    EvaluatorSpec,
    ExactMatchSpec,
    JsonFieldsSpec,
    JsonSchemaSpec,
    NumericSpec,
    RegexSpec,
    TokenF1Spec,
)
from domain.parsing import format_output

CHOICE = ChoiceContract(choices={"Billing": "", "Other": ""})
OBJECT = JsonContract(schema={"type": "object"})
REFUND = JsonContract(
    schema={"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
)

SCORABLE: list[tuple[EvaluatorSpec, OutputContract, Any]] = [
    (ExactMatchSpec(), TextContract(), "yes"),
    (ExactMatchSpec(), TextContract(), 3),
    (ExactMatchSpec(), REFUND, {"order": "A"}),
    (ChoiceLabelSpec(), CHOICE, "billing"),
    (ContainsSpec(), TextContract(), "yes"),
    (RegexSpec(pattern="(a)"), TextContract(), "a"),
    (NumericSpec(), NumberContract(), "1,200"),
    (NumericSpec(), TextContract(), 3.5),
    (NumericSpec(), NumberContract(reasoning=True), 3),
    (JsonSchemaSpec(), REFUND, {"order": "A"}),
    (JsonFieldsSpec(), REFUND, {"order": "A", "more": None}),
    (TokenF1Spec(), TextContract(), "a cat"),
]


@pytest.mark.parametrize(("spec", "contract", "expected"), SCORABLE)
def test_what_passes_the_check_is_scored_1_when_answered_perfectly(
    spec: EvaluatorSpec, contract: OutputContract, expected: Any
) -> None:
    check_expected([spec], contract, expected)
    assert build_evaluator(spec, contract).score(expected, format_output(contract, expected)).value == 1


@pytest.mark.parametrize("expected", [None, "", "  \n"])
@pytest.mark.parametrize(
    ("spec", "contract"), [(spec, contract) for spec, contract, _ in SCORABLE if spec.kind != "json_schema"]
)
def test_blank_values_are_refused_with_the_mend(spec: EvaluatorSpec, contract: OutputContract, expected: Any) -> None:
    with pytest.raises(InputError, match="is blank") as caught:
        check_expected([spec], contract, expected)
    assert caught.value.mend == "fill in the expected answer or remove the row."


@pytest.mark.parametrize(
    ("spec", "contract", "expected", "problem", "mend"),
    [
        (ChoiceLabelSpec(), CHOICE, "refund", "'refund' is none of the declared labels", "declared: Billing, Other."),
        (ExactMatchSpec(), CHOICE, 3, "'3' is none of the declared labels", "declared: Billing, Other."),
        (NumericSpec(), NumberContract(), "many", "'many' is not a number", "number alone"),
        (NumericSpec(), TextContract(), True, "'true' is not a number", "number alone"),
        (NumericSpec(), NumberContract(), float("nan"), "'nan' is not a number", "number alone"),
        (JsonFieldsSpec(), REFUND, {"order": 3}, "breaks its schema at order", "expected value"),
        (JsonFieldsSpec(), REFUND, {}, "'order' is a required property", "expected value"),
        (JsonFieldsSpec(), REFUND, "order A", "not of type 'object'", "expected value"),
        (JsonFieldsSpec(fields=("order", "reason")), OBJECT, {"order": "A"}, "has no field reason", "add the field"),
        (JsonFieldsSpec(), OBJECT, {}, "has no fields", "add the field"),
        (JsonFieldsSpec(), REFUND, {"order": "A", "more": float("inf")}, "is not JSON", "JSON object"),
        (JsonSchemaSpec(), REFUND, {"order": 3}, "breaks its schema", "expected value"),
        (JsonSchemaSpec(schema=REFUND.json_schema), TextContract(), '{"order": 3}', "breaks its schema", "expected"),
        (ContainsSpec(), TextContract(), ["a"], "is not text", "json_fields"),
        (TokenF1Spec(), TextContract(), {"a": 1}, "is not text", "json_fields"),
        (RegexSpec(pattern="(a)"), TextContract(), [1], "is not text", "json_fields"),
    ],
)
def test_a_value_that_cannot_be_scored_is_named_with_evaluator_and_mend(
    spec: EvaluatorSpec, contract: OutputContract, expected: Any, problem: str, mend: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_expected([TokenF1Spec(), spec] if isinstance(expected, str) else [spec], contract, expected)
    assert caught.value.problem.startswith(f"{spec.kind} cannot score the expected value")
    assert repr(expected)[:60] in caught.value.problem
    assert problem in caught.value.problem
    assert caught.value.mend
    assert mend in caught.value.mend


def test_a_pattern_without_a_group_asks_nothing_of_the_expected_value() -> None:
    check_expected([RegexSpec(pattern="a")], TextContract(), None)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InputError) as caught:
        check_expected([ChoiceLabelSpec()], CHOICE, "x" * 10_000)
    assert len(str(caught.value)) < 500
