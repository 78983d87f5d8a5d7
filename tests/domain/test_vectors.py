"""Vectors and the score that stands for the angle between two of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contracts import JsonContract, TextContract
from domain.errors import InputError, OutputParseError
from domain.evaluators.embedding_score import compared_texts, embedding_prompt, similarity_score
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.judge_score import Judgement
from domain.evaluators.registry import check_evaluators, check_expected
from domain.evaluators.row_score import ScoreStatus
from domain.evaluators.vectors import cosine, read_vector, vector_text
from domain.rendering import render_step

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.lists(NUMBERS, min_size=1, max_size=40)
PAIRS = st.integers(1, 30).flatmap(
    lambda size: st.tuples(*[st.lists(NUMBERS, min_size=size, max_size=size).filter(any)] * 2)
)
MODEL = "embeddings/tiny"


def spec(**changes: object) -> EmbeddingSimilaritySpec:
    return EmbeddingSimilaritySpec.model_validate({"kind": "embedding_similarity", "model": MODEL, **changes})


@given(VECTORS)
def test_a_vector_survives_being_text(vector: list[float]) -> None:
    assert list(read_vector(vector_text(vector))) == vector


@given(PAIRS, st.floats(1e-6, 1e6))
def test_the_cosine_is_bounded_symmetric_and_knows_no_length(
    pair: tuple[list[float], list[float]], factor: float
) -> None:
    left, right = pair
    found = cosine(left, right)
    assert -1 <= found <= 1
    assert cosine(right, left) == pytest.approx(found, abs=1e-12)
    assert cosine([one * factor for one in left], right) == pytest.approx(found, abs=1e-9)
    assert cosine([-one for one in left], right) == pytest.approx(-found, abs=1e-12)
    assert cosine(left, left) == pytest.approx(1, abs=1e-12)


def test_cosines_by_hand() -> None:
    assert cosine((1, 0), (0, 5)) == 0
    assert cosine((1, 0), (1, 1)) == pytest.approx(1 / math.sqrt(2))
    assert cosine((3, 4), (4, 3)) == pytest.approx(24 / 25)


@pytest.mark.parametrize(("left", "right"), [((1, 2), (1, 2, 3)), ((0, 0), (1, 2)), ((1, 2), (0, 0))])
def test_what_has_no_angle_is_an_error(left: tuple[float, ...], right: tuple[float, ...]) -> None:
    with pytest.raises(OutputParseError):
        cosine(left, right)


@pytest.mark.parametrize("vector", [[], [math.nan], [math.inf], [1e39], ["1"]])
def test_what_is_no_vector_is_not_written(vector: list[float]) -> None:
    with pytest.raises(OutputParseError):
        vector_text(vector)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_scores_grow_with_the_cosine_between_two_ends(one: float, other: float, low: float, high: float) -> None:
    ends = sorted((low, high))
    if ends[0] == ends[1]:
        return
    mapped = spec(lowest=ends[0], highest=ends[1])
    low_cosine, high_cosine = sorted((one, other))
    assert 0 <= mapped.value(low_cosine) <= mapped.value(high_cosine) <= 1
    assert (mapped.value(ends[0]), mapped.value(ends[1])) == (0, 1)


def test_a_threshold_makes_right_and_wrong() -> None:
    assert [spec(threshold=0.8).value(one) for one in (-1, 0.79, 0.8, 1)] == [0, 0, 1, 1]
    assert [spec().value(one) for one in (-0.5, 0, 0.25, 1)] == [0, 0, 0.25, 1]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lowest": 0.5, "highest": 0.5}, "below highest"),
        ({"threshold": 0.8, "highest": 0.9}, "mean nothing beside it"),
        ({"threshold": 1.1}, "less than or equal to 1"),
        ({"dimensions": 0}, "greater than or equal to 1"),
        ({"model": "tiny"}, "pattern"),
    ],
)
def test_impossible_mappings_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        spec(**changes)


def test_a_spec_with_a_threshold_survives_being_stored() -> None:
    one = spec(threshold=0.8, dimensions=256)
    assert EmbeddingSimilaritySpec.model_validate(one.model_dump(mode="json")) == one


@given(st.text(min_size=1))
def test_what_is_sent_is_the_text_and_nothing_else(text: str) -> None:
    prompt = embedding_prompt(spec(dimensions=8))
    (message,) = render_step(prompt.steps[0], {"text": text})
    assert (message.role, message.content) == ("user", text)
    assert prompt.parameters.extra == {"dimensions": 8}


def test_vectors_belong_to_model_and_length_not_to_how_they_are_scored() -> None:
    ids = {embedding_prompt(one).id for one in (spec(), spec(threshold=0.5), spec(name="meaning", highest=0.9))}
    assert len(ids) == 1
    assert (
        len(ids | {embedding_prompt(spec(dimensions=8)).id, embedding_prompt(spec(model="embeddings/other")).id}) == 3
    )


def test_an_empty_answer_and_the_expected_text_itself_need_no_vector() -> None:
    contract = TextContract()
    empty = compared_texts(contract, "a shed", " \n").settled()
    same = compared_texts(contract, "a shed ", "  a shed").settled()
    assert empty is not None
    assert same is not None
    assert (empty.value, same.value) == (0, 1)
    assert compared_texts(contract, "a shed", "A shed").settled() is None


def test_what_a_model_refuses_or_garbles_is_no_score() -> None:
    vector = Judgement(vector_text([1, 0]))
    assert similarity_score(spec(), vector, vector).value == 1
    for other in (Judgement("", "too long"), Judgement("oops"), Judgement(vector_text([0, 0])), Judgement("AACAPw==")):
        for found in (similarity_score(spec(), vector, other), similarity_score(spec(), other, vector)):
            assert (found.value, found.status) == (None, ScoreStatus.EVALUATOR_ERROR)
            assert MODEL in found.reason


def test_expected_values_are_texts() -> None:
    check_expected([spec()], TextContract(), "a shed")
    contract = JsonContract(schema={"type": "object"})
    check_evaluators([spec(), spec(name="meaning")], contract)
    with pytest.raises(InputError, match="is not text"):
        check_expected([spec()], contract, {"place": "shed"})
