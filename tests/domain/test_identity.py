from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import canonical_json, content_id, short_id

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_key_order_never_matters(value: Any) -> None:
    assert canonical_json(reordered(value)) == canonical_json(value)
    assert content_id(reordered(value)) == content_id(value)


@given(json_values)
def test_canonical_text_reads_back(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(json_values, json_values)
def test_ids_differ_exactly_when_texts_do(one: Any, other: Any) -> None:
    assert (content_id(one) == content_id(other)) == (canonical_json(one) == canonical_json(other))


def test_known_text_and_id() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é\n"}) == '{"a":"é\\n","b":[1,2.5,null]}'
    assert content_id({}) == hashlib.sha256(b"{}").hexdigest()


def test_list_order_matters() -> None:
    assert content_id([1, 2]) != content_id([2, 1])


def test_half_a_surrogate_pair_has_an_id() -> None:
    assert len(content_id("\ud800")) == 64


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}])
def test_numbers_json_does_not_know_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError):
        content_id({"a": {1, 2}})


def test_short_id_is_a_prefix() -> None:
    assert short_id("0123456789abcdef") == "0123456789ab"
