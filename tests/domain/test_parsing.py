from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.contracts import (
    ANSWER_MARKER,
    ChoiceContract,
    JsonContract,
    NumberContract,
    OutputContract,
    TextContract,
)
from domain.errors import InputError, OutputParseError
from domain.parsing import format_output, parse_output

ANYTHING = JsonContract(schema={"type": "object"})
REFUND = JsonContract(
    schema={
        "type": "object",
        "properties": {"order": {"type": "string"}, "amount": {"type": "number"}},
        "required": ["order"],
        "additionalProperties": False,
    }
)
TONE = ChoiceContract(choices={"Very good": "", "good": "", "C++": "", "Dr.": ""})

lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12)
json_objects = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.lists(st.integers(), max_size=3),
    max_size=4,
)


@given(st.lists(lines, min_size=2, max_size=6), st.booleans())
def test_every_label_of_every_choice_contract_round_trips(labels: list[str], reasoning: bool) -> None:
    assume(not reasoning or not any(ANSWER_MARKER in label for label in labels))
    try:
        contract = ChoiceContract.model_validate({"choices": labels, "reasoning": reasoning})
    except ValidationError:
        assume(False)
        return
    for label in contract.choices:
        assert parse_output(contract, format_output(contract, label)) == label
        assert parse_output(contract, format_output(contract, label.casefold())) == label


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15), st.booleans())
def test_every_finite_number_round_trips(number: float, reasoning: bool) -> None:
    contract = NumberContract(reasoning=reasoning)
    assert parse_output(contract, format_output(contract, number)) == number


@given(json_objects, st.booleans())
def test_every_object_round_trips(value: dict[str, Any], reasoning: bool) -> None:
    contract = ANYTHING.model_copy(update={"reasoning": reasoning})
    assume(not reasoning or ANSWER_MARKER not in str(value))
    assert parse_output(contract, format_output(contract, value)) == value


@given(st.text(max_size=60), st.booleans())
def test_every_text_round_trips_trimmed_or_is_refused(text: str, reasoning: bool) -> None:
    contract = TextContract(reasoning=reasoning)
    if reasoning and ANSWER_MARKER in text:
        with pytest.raises(InputError):
            format_output(contract, text)
        return
    assert parse_output(contract, format_output(contract, text)) == text.strip()


@given(st.text(max_size=80))
def test_any_answer_is_a_value_or_a_parse_error(text: str) -> None:
    for contract in (TONE, NumberContract(), REFUND, TextContract(reasoning=True)):
        with suppress(OutputParseError):
            format_output(contract, parse_output(contract, text))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("good", "good"),
        (" GOOD.\n", "good"),
        ("**Very good**", "Very good"),
        ('"c++"', "C++"),
        ("`good`", "good"),
        ("dr.", "Dr."),
    ],
)
def test_labels_are_read_through_decoration(text: str, label: str) -> None:
    assert parse_output(TONE, text) == label


def test_a_label_that_ends_in_a_full_stop_is_not_taken_for_its_neighbour() -> None:
    contract = ChoiceContract(choices={"C": "", "C.": ""})
    assert parse_output(contract, "C.") == "C."
    assert parse_output(contract, "C") == "C"


@pytest.mark.parametrize("text", ["bad", "", "good or Very good", "goodish"])
def test_other_labels_are_refused_with_the_declared_ones(text: str) -> None:
    with pytest.raises(OutputParseError, match="declared: Very good, good, C"):
        parse_output(TONE, text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42.0),
        (" -3.5 ", -3.5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1,234,567.89", 1234567.89),
        ("$1,200", 1200.0),
        ("£35.70", 35.7),
        ("12%", 12.0),
        ("**7**", 7.0),
        ("1e3", 1000.0),
        ("+8", 8.0),
    ],
)
def test_numbers_as_people_write_them(text: str, number: float) -> None:
    assert parse_output(NumberContract(), text) == number


@pytest.mark.parametrize(
    "text", ["", "-", "e5", "one", "4 or 5", "1,2", "12,34", "nan", "inf", "1e999", "-1e999", "1_0"]
)
def test_what_is_not_a_finite_number_is_refused(text: str) -> None:
    with pytest.raises(OutputParseError):
        parse_output(NumberContract(), text)


def test_json_with_and_without_a_fence() -> None:
    for text in ('{"order": "A"}', '```json\n{"order": "A"}\n```', '\n```\n{"order":"A"}\n```  '):
        assert parse_output(REFUND, text) == {"order": "A"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sorry", "not JSON"),
        ('["order"]', "not of type 'object'"),
        ('{"order": 3}', "at order: 3 is not of type 'string'"),
        ("{}", "'order' is a required property"),
        ('{"order": "A", "more": 1}', "Additional properties"),
        ('{"order": "A", "amount": NaN}', "NaN is not JSON"),
        ('{"order": "A", "amount": 1e999}', "not JSON"),
        ('{"order": "\\ud800"}', "not JSON"),
    ],
)
def test_json_that_breaks_its_schema_is_refused(text: str, problem: str) -> None:
    with pytest.raises(OutputParseError, match=problem):
        parse_output(REFUND, text)


@pytest.mark.parametrize("depth", [5_000, 200_000])
def test_an_endlessly_nested_answer_is_refused(depth: int) -> None:
    with pytest.raises(OutputParseError):
        parse_output(ANYTHING, '{"a":' + "[" * depth + "]" * depth + "}")


def test_a_schema_that_refers_to_itself_forever_ends_in_a_parse_error() -> None:
    endless = JsonContract(schema={"type": "object", "$ref": "#"})
    with pytest.raises(OutputParseError, match="too deeply"):
        parse_output(endless, "{}")


@pytest.mark.parametrize(
    ("contract", "text", "value"),
    [
        (NumberContract(reasoning=True), "3 + 4 is 7.\nAnswer: 7", 7.0),
        (TextContract(reasoning=True), "Answer: first thought\nno.\nAnswer:  second ", "second"),
        (TONE.model_copy(update={"reasoning": True}), "It is fine.\n**Answer:** good", "good"),
    ],
)
def test_reasoning_ends_at_the_last_marker(contract: OutputContract, text: str, value: Any) -> None:
    assert parse_output(contract, text) == value


def test_reasoning_that_was_cut_short_says_so() -> None:
    with pytest.raises(OutputParseError, match="max_output_tokens"):
        parse_output(NumberContract(reasoning=True), "3 + 4 is")


@pytest.mark.parametrize(
    ("contract", "value"),
    [
        (TONE, "bad"),
        (NumberContract(), "many"),
        (NumberContract(), True),
        (NumberContract(), float("nan")),
        (NumberContract(), 10**400),
        (REFUND, {"order": 3}),
        (REFUND, '{"order": "A"}'),
        (ANYTHING, {"a": float("inf")}),
        (ANYTHING, {"a": {1, 2}}),
        (TextContract(reasoning=True), "the Answer: is hidden"),
        (TONE.model_copy(update={"reasoning": True}), None),
    ],
)
def test_values_that_no_answer_can_stand_for_are_refused(contract: OutputContract, value: Any) -> None:
    with pytest.raises(InputError):
        format_output(contract, value)


def test_whole_numbers_are_written_without_decimals() -> None:
    assert format_output(NumberContract(), 12.0) == "12"
    assert format_output(NumberContract(reasoning=True), 2.5) == "Answer: 2.5"
    assert format_output(TextContract(), True) == "true"


def test_a_number_too_large_to_be_checked_is_no_answer() -> None:
    halves = JsonContract(schema={"type": "object", "properties": {"n": {"multipleOf": 0.5}}})
    with pytest.raises(OutputParseError, match="too large"):
        parse_output(halves, f'{{"n": {10**400}}}')
