from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contracts import ChoiceContract, JsonContract, NumberContract, OutputContract, TextContract
from domain.errors import InputError
from domain.evaluators.registry import build_evaluator, check_evaluators
from domain.evaluators.score import Score
from domain.evaluators.specs import (
    ChoiceLabelSpec,
    ContainsSpec,
    EvaluatorSpec,
    ExactMatchSpec,
    JsonFieldsSpec,
    JsonSchemaSpec,
    NumericSpec,
    RegexSpec,
    TextSimilaritySpec,
    TokenF1Spec,
)
from domain.evaluators.text_similarity import character_ngrams, cosine

TEXT = TextContract()
NUMBER = NumberContract()
CHOICE = ChoiceContract(choices={"Billing": "", "Other": ""})
OBJECT = JsonContract(schema={"type": "object"})
REFUND = JsonContract(
    schema={
        "type": "object",
        "properties": {
            "order": {"type": "string"},
            "amount": {"type": ["number", "null"]},
            "paid": {"type": "boolean"},
        },
    }
)
ALL: list[tuple[EvaluatorSpec, OutputContract, Any]] = [
    (ExactMatchSpec(), TEXT, "yes"),
    (ExactMatchSpec(), OBJECT, {"a": 1}),
    (ChoiceLabelSpec(), CHOICE, "Other"),
    (ContainsSpec(), TEXT, "yes"),
    (RegexSpec(pattern=r"(\d+)"), TEXT, "4"),
    (NumericSpec(), NUMBER, 4),
    (JsonSchemaSpec(), REFUND, {"order": "A"}),
    (JsonFieldsSpec(), REFUND, {"order": "A"}),
    (TokenF1Spec(), TEXT, "the cat"),
    (TextSimilaritySpec(), TEXT, "the cat"),
]


def value(spec: EvaluatorSpec, contract: OutputContract, expected: Any, text: str) -> float:
    return build_evaluator(spec, contract).score(expected, text).value


@pytest.mark.parametrize(("spec", "contract", "expected"), ALL)
def test_every_evaluator_is_named_after_its_kind(spec: EvaluatorSpec, contract: OutputContract, expected: Any) -> None:
    assert build_evaluator(spec, contract).name == spec.kind


@pytest.mark.parametrize(("spec", "contract", "expected"), ALL)
@given(text=st.text(max_size=60))
def test_any_answer_gets_a_score_with_a_reason(
    spec: EvaluatorSpec, contract: OutputContract, expected: Any, text: str
) -> None:
    evaluator = build_evaluator(spec, contract)
    score = evaluator.score(expected, text)
    assert 0 <= score.value <= 1
    assert score.reason
    assert evaluator.score(expected, text) == score


@pytest.mark.parametrize(("spec", "contract", "expected"), ALL)
def test_reasoning_that_never_ends_scores_nothing_and_says_why(
    spec: EvaluatorSpec, contract: OutputContract, expected: Any
) -> None:
    reasoned = contract.model_copy(update={"reasoning": True})
    score = build_evaluator(spec, reasoned).score(expected, "I think that 4 is yes and the cat")
    assert score.value == 0
    assert "`Answer:` line" in score.reason
    assert score.parsed is isinstance(spec, JsonSchemaSpec)  # to this one, being read is the question itself


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_a_score_lies_between_0_and_1(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Score(wrong, "impossible")


@pytest.mark.parametrize(
    ("contract", "expected", "text", "score"),
    [
        (TEXT, "Yes, please", " yes,  PLEASE\n", 1),
        (TEXT, "yes", "yes.", 0),
        (TEXT, 4, "4", 1),
        (TEXT, True, "true", 1),
        (NUMBER, 1200, "$1,200.00", 1),
        (NUMBER, "1,200", "1200", 1),
        (NUMBER, 1200, "about 1200", 0),
        (CHOICE, "billing", "**Billing**", 1),
        (OBJECT, {"a": 1, "b": ["X"]}, '{"b": ["x"], "a": 1.0}', 1),
        (OBJECT, {"a": 1}, '{"a": true}', 0),
        (OBJECT, {"a": 0}, '{"a": false}', 0),
        (OBJECT, {"a": None}, "{}", 0),
        (OBJECT, {"a": [1, 2]}, '{"a": [2, 1]}', 0),
        (OBJECT, {"a": "1"}, '{"a": 1}', 0),
    ],
)
def test_exact_match(contract: OutputContract, expected: Any, text: str, score: float) -> None:
    assert value(ExactMatchSpec(), contract, expected, text) == score


def test_exact_match_may_mind_case() -> None:
    assert value(ExactMatchSpec(ignore_case=False), TEXT, "Yes", "yes") == 0
    assert value(ExactMatchSpec(ignore_case=False), TEXT, "Yes", "Yes ") == 1


@pytest.mark.parametrize(("text", "score"), [("billing.", 1), ("Other", 0), ("Billing or Other", 0), ("", 0)])
def test_choice_label(text: str, score: float) -> None:
    assert value(ChoiceLabelSpec(), CHOICE, "Billing", text) == score


def test_a_label_nobody_declared_is_named_in_the_reason() -> None:
    score = build_evaluator(ChoiceLabelSpec(), CHOICE).score("Billing", "refund")
    assert score == Score(0.0, "'refund' is none of the declared labels", parsed=False)


@pytest.mark.parametrize(
    ("expected", "text", "score"),
    [("new york", "It is in New\nYork.", 1), ("york", "New Yor", 0), (42, "the answer is 42!", 1)],
)
def test_contains(expected: Any, text: str, score: float) -> None:
    assert value(ContainsSpec(), TEXT, expected, text) == score
    assert value(ContainsSpec(ignore_case=False), TEXT, "York", "york") == 0


def test_contains_looks_at_the_final_answer_only() -> None:
    contract = TextContract(reasoning=True)
    assert value(ContainsSpec(), contract, "paris", "Not Paris.\nAnswer: Rome") == 0
    assert value(ContainsSpec(), contract, "paris", "Not Rome.\nAnswer: Paris") == 1


@pytest.mark.parametrize(
    ("pattern", "expected", "text", "score"),
    [
        (r"^\d{4}$", None, "2024", 1),
        (r"^\d{4}$", None, "24", 0),
        (r"total: (\S+)", "7", "sum 3, total: 7", 1),
        (r"total: (\S+)", 7, "sum 3, total: 7", 1),
        (r"total: (\S+)", "7", "sum 7, total: 3", 0),
        (r"total: (\S+)", "7", "7", 0),
        (r"a|(b)", "b", "a", 0),
    ],
)
def test_regex(pattern: str, expected: Any, text: str, score: float) -> None:
    assert value(RegexSpec(pattern=pattern), TEXT, expected, text) == score


@pytest.mark.parametrize(
    ("spec", "expected", "text", "score"),
    [
        (NumericSpec(), 3, "3.0000001", 1),
        (NumericSpec(), 3, "3.1", 0),
        (NumericSpec(absolute_tolerance=0.1), "3", "3.1", 1),
        (NumericSpec(relative_tolerance=0.01), -200, "-202", 1),
        (NumericSpec(relative_tolerance=0.01), -200, "-202.5", 0),
        (NumericSpec(), 3, "three", 0),
        (NumericSpec(), 3, "1e999", 0),
    ],
)
@pytest.mark.parametrize("contract", [NUMBER, TEXT])
def test_numeric(contract: OutputContract, spec: NumericSpec, expected: Any, text: str, score: float) -> None:
    assert value(spec, contract, expected, text) == score


@pytest.mark.parametrize(
    ("text", "score"), [('{"order": "B"}', 1), ("{}", 1), ('{"order": 3}', 0), ("[]", 0), ("order A", 0)]
)
def test_json_schema(text: str, score: float) -> None:
    assert value(JsonSchemaSpec(), REFUND, {"order": "A"}, text) == score
    assert value(JsonSchemaSpec(schema=REFUND.json_schema), TEXT, '{"order": "A"}', text) == score


def test_json_schema_of_the_evaluator_wins_over_the_contracts() -> None:
    strict = JsonSchemaSpec(schema={"type": "object", "required": ["order"]})
    assert value(strict, REFUND, {"order": "A"}, "{}") == 0


@pytest.mark.parametrize(
    ("spec", "expected", "text", "score"),
    [
        (JsonFieldsSpec(), {"order": "HP 1", "amount": 3}, '{"order": "hp  1", "amount": 3.0}', 1),
        (JsonFieldsSpec(), {"order": "A", "amount": 3}, '{"order": "A", "amount": 4}', 0.5),
        (JsonFieldsSpec(), {"order": "A", "amount": 3}, '{"order": "A", "more": 4}', 0.5),
        (JsonFieldsSpec(), {"order": "A", "amount": None}, '{"order": "A"}', 1),
        (JsonFieldsSpec(), {"order": "A", "paid": True}, '{"order": "A", "paid": false}', 0.5),
        (JsonFieldsSpec(), {"order": "A", "amount": 3}, '{"order": "A", "amount": "3"}', 0),
        (JsonFieldsSpec(fields=("amount",)), {"order": "A", "amount": 3}, '{"order": "B", "amount": 3}', 1),
        (JsonFieldsSpec(absolute_tolerance=0.5), {"amount": 3}, '{"amount": 3.4}', 1),
        (JsonFieldsSpec(absolute_tolerance=0.1), {"amount": 3}, '{"amount": 3.1}', 1),
        (JsonFieldsSpec(), {"amount": 3.5}, f'{{"amount": {10**400}}}', 0),
        (JsonFieldsSpec(), {"order": "A"}, "no JSON", 0),
    ],
)
def test_json_fields(spec: JsonFieldsSpec, expected: Any, text: str, score: float) -> None:
    assert value(spec, REFUND, expected, text) == score


def test_wrong_fields_are_named_in_the_reason() -> None:
    score = build_evaluator(JsonFieldsSpec(), REFUND).score({"order": "A", "amount": 3}, '{"order": "B", "amount": 3}')
    assert score.reason == "1 of 2 fields are right; order: expected 'A', got 'B'"


@pytest.mark.parametrize(
    ("expected", "text", "score"),
    [
        ("the cat sat", "A cat sat!", 1),
        ("cat sat on mat", "cat mat", 2 / 3),
        ("cat", "dog", 0),
        ("b b c d", "b c c c", 0.5),
        ("The", "an", 1),
        ("The", "cat", 0),
        ("it's", "its", 1),
        (42, "42.", 1),
    ],
)
def test_token_f1(expected: Any, text: str, score: float) -> None:
    assert value(TokenF1Spec(), TEXT, expected, text) == pytest.approx(score)


@pytest.mark.parametrize(
    ("spec", "expected", "text", "score"),
    [
        # " ab" "abc" "bc " against " ab" "abd" "bd ": one of three.
        (TextSimilaritySpec(), "abc", "abd", 1 / 3),
        (TextSimilaritySpec(), "ABC", " abc\n", 1),
        (TextSimilaritySpec(ignore_case=False), "ABC", "abc", 0),
        # " a" "aa" "aa" "a " has the counts 1 2 1, " a" "a " has 1 1: 2 / sqrt(6 * 2).
        (TextSimilaritySpec(ngram=2), "aaa", "a", 2 / 12**0.5),
        # 3 of " " "a" "b" "c" once each, the space twice: (2 * 2 + 1 + 1) / sqrt(7 * 6).
        (TextSimilaritySpec(ngram=1), "abc", "ab", 6 / 42**0.5),
        (TextSimilaritySpec(ngram=8), "abc", "abc", 1),
        (TextSimilaritySpec(ngram=8), "abc", "abd", 0),
        (TextSimilaritySpec(), "cat", "", 0),
        (TextSimilaritySpec(), 42, "42", 1),
    ],
)
def test_text_similarity(spec: TextSimilaritySpec, expected: Any, text: str, score: float) -> None:
    assert value(spec, TEXT, expected, text) == pytest.approx(score)


@given(st.text(max_size=40), st.text(max_size=40))
def test_text_similarity_is_symmetric_and_whole_only_for_the_same_ngrams(left: str, right: str) -> None:
    ours, theirs = character_ngrams(left, 3), character_ngrams(right, 3)
    assert cosine(ours, theirs) == cosine(theirs, ours)
    assert cosine(ours, ours) == pytest.approx(1.0 if left else 0.0)


@pytest.mark.parametrize(
    ("spec", "contract", "problem"),
    [
        (ChoiceLabelSpec(), TEXT, "needs an output of kind choice"),
        (NumericSpec(), CHOICE, "needs an output of kind number or text"),
        (NumericSpec(), OBJECT, "needs an output of kind number or text"),
        (JsonFieldsSpec(), TEXT, "needs an output of kind json"),
        (JsonFieldsSpec(fields=("colour",)), REFUND, "colour, which the output's schema does not declare"),
        (JsonSchemaSpec(), NUMBER, "no schema of its own"),
        (JsonSchemaSpec(schema={"type": "array"}), TEXT, "must be `object`"),
        (JsonSchemaSpec(schema={"type": "nonsense"}), TEXT, "not a JSON schema"),
    ],
)
def test_an_evaluator_that_cannot_read_the_answers_is_refused(
    spec: EvaluatorSpec, contract: OutputContract, problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        check_evaluators([spec], contract)
    assert caught.value.mend
    assert caught.value.field
    assert caught.value.field.startswith("evaluators")


def test_two_evaluators_of_one_kind_are_refused() -> None:
    with pytest.raises(InputError, match="scores of two evaluators are called regex"):
        check_evaluators([RegexSpec(pattern="a"), TokenF1Spec(), RegexSpec(pattern="b")], TEXT)


def test_fitting_evaluators_pass() -> None:
    for spec, contract, _ in ALL:
        check_evaluators([spec], contract)
