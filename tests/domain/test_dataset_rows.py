from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.dataset import (
    Row,
    Split,
    SplitFractions,
    assign_split,
    dataset_version_id,
    input_key,
    make_row,
    normalise_text,
)
from domain.identity import content_id

DEFAULT = SplitFractions()
inputs = st.dictionaries(st.text(max_size=6), st.text(max_size=20), min_size=1, max_size=3)


def rows(count: int, fractions: SplitFractions = DEFAULT) -> list[Row]:
    return [make_row({"text": f"ticket {number}"}, number, None, fractions) for number in range(count)]


@given(st.text())
@example("e\0\u0301")
@example("\r\0\n")
def test_normalised_text_is_clean_and_stays_as_it_is(text: str) -> None:
    clean = normalise_text(text)
    assert normalise_text(clean) == clean
    assert clean == clean.strip()
    assert "\0" not in clean
    assert "\r" not in clean
    assert unicodedata.is_normalized("NFC", clean)


def test_normalisation_keeps_what_is_inside() -> None:
    assert normalise_text(" a  b\r\n\r\nC\t\n") == "a  b\n\nC"


@given(inputs, st.integers(0, 5))
def test_a_split_depends_on_the_input_and_the_seed_alone(fields: dict[str, str], seed: int) -> None:
    fractions = SplitFractions(seed=seed)
    one = make_row(fields, "yes", "id-1", fractions)
    other = make_row(dict(reversed(fields.items())), 7, None, fractions)
    assert one.split == other.split == assign_split(fields, fractions)
    assert one.input_id == other.input_id


@pytest.mark.parametrize("variant", ["Where IS my order?", "where  is\nmy order?", " where is my order? "])
def test_case_and_white_space_do_not_move_a_row_to_another_split(variant: str) -> None:
    plain = {"text": "where is my order?"}
    assert input_key({"text": variant}) == input_key(plain)
    for seed in range(20):
        fractions = SplitFractions(seed=seed)
        assert assign_split({"text": variant}, fractions) == assign_split(plain, fractions)


def test_the_field_a_text_stands_in_matters() -> None:
    assert input_key({"a": "x", "b": "y"}) != input_key({"a": "y", "b": "x"})


@pytest.mark.parametrize(
    "fractions",
    [DEFAULT, SplitFractions(seed=9, train=0.1, dev=0.1, test=0.8), SplitFractions(train=0, dev=0.5, test=0.5)],
)
def test_shares_come_out_as_asked(fractions: SplitFractions) -> None:
    count = 6_000
    found = Counter(row.split for row in rows(count, fractions))
    for split, share in ((Split.TRAIN, fractions.train), (Split.DEV, fractions.dev), (Split.TEST, fractions.test)):
        # Five standard deviations of a binomial count.
        assert abs(found[split] - share * count) <= 5 * (count * share * (1 - share)) ** 0.5


def test_another_seed_deals_other_rows() -> None:
    moved = sum(
        one.split != other.split for one, other in zip(rows(300), rows(300, SplitFractions(seed=1)), strict=True)
    )
    assert moved > 100


def test_a_wider_test_split_keeps_every_sealed_row_sealed() -> None:
    wider = SplitFractions(train=0.4, dev=0.2, test=0.4)
    sealed = {row.row_id for row in rows(300) if row.split is Split.TEST}
    assert sealed <= {row.row_id for row in rows(300, wider) if row.split is Split.TEST}


def test_splits_and_ids_never_drift_between_releases() -> None:
    assert [str(row.split) for row in rows(8)] == ["dev", "test", "test", "train", "train", "test", "dev", "dev"]
    one = make_row({"text": "a"}, "x", "1", DEFAULT)
    assert dataset_version_id([one]) == "0e26fe0eba6146be1ae18c7b39ede97af05668e937dbf9be8f8c710ba5a1a7e9"


def test_a_row_without_an_id_gets_one_from_its_input() -> None:
    one, same, other = (make_row({"text": text}, 1, None, DEFAULT) for text in ("Hello", "hello ", "bye"))
    assert one.row_id == same.row_id != other.row_id
    assert len(one.row_id) == 16
    assert one.input_id == content_id({"text": "Hello"}) != same.input_id
    assert make_row({"text": "Hello"}, 1, "T-1", DEFAULT).row_id == "T-1"


@given(st.permutations(range(6)))
def test_a_version_id_does_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    all_rows = rows(6)
    assert dataset_version_id(all_rows[index] for index in order) == dataset_version_id(all_rows)


def test_a_version_id_changes_with_any_row() -> None:
    base = rows(4)
    changed = [
        base[:3],
        [*base, *rows(5)[4:]],
        [*base, base[0]],
        [*base[:3], make_row({"text": "ticket 3"}, "other", None, DEFAULT)],
        [*base[:3], make_row({"text": "ticket 3."}, 3, None, DEFAULT)],
        [*base[:3], make_row({"text": "ticket 3"}, 3, "T-3", DEFAULT)],
        rows(4, SplitFractions(seed=4)),
    ]
    ids = [dataset_version_id(version) for version in (base, *changed)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 0.5, "dev": 0.5, "test": 0.5},
        {"train": 0.7, "dev": 0.3, "test": 0},
        {"train": -0.1, "dev": 0.6, "test": 0.5},
        {"seed": -1},
    ],
)
def test_impossible_fractions_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SplitFractions.model_validate(fractions)
