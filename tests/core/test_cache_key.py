from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.message import Message
from domain.pricing import Usage
from resources.llm.cache_entry import cache_applies, cache_key, decode, encode, storable
from resources.llm.types import Completion, Request

texts = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
messages = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts), min_size=1, max_size=3)
FIELD_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "model": texts,
    "messages": messages.map(tuple),
    "max_output_tokens": st.integers(1, 9),
    "temperature": st.floats(0, 2),
    "top_p": st.none() | st.floats(0, 1),
    "stop": st.lists(texts, max_size=2).map(tuple),
    "seed": st.none() | st.integers(0, 9),
    "response_schema": st.none() | st.dictionaries(texts, json_values, max_size=2),
    "sample": st.none() | st.integers(0, 9),
    "extra": st.dictionaries(texts, json_values, max_size=2),
}
requests = st.builds(Request, **FIELD_VALUES)


def test_every_field_of_a_request_is_covered_here() -> None:
    assert set(FIELD_VALUES) == {field.name for field in fields(Request)}


@pytest.mark.parametrize("name", sorted(FIELD_VALUES))
@settings(max_examples=30)
@given(request=requests, data=st.data())
def test_whatever_changes_in_a_request_changes_the_key(name: str, request: Request, data: st.DataObject) -> None:
    other = replace(request, **{name: data.draw(FIELD_VALUES[name])})
    same = repr(other) == repr(request) or (other == request and name == "temperature")
    assert (cache_key(other, "https://a") == cache_key(request, "https://a")) == same


@given(requests)
def test_the_endpoint_is_part_of_the_key_and_the_order_of_names_is_not(request: Request) -> None:
    assert cache_key(request, "https://a") != cache_key(request, "https://b")
    turned = replace(request, extra=dict(reversed(request.extra.items())))
    assert cache_key(turned, "https://a") == cache_key(request, "https://a")


@given(messages)
def test_text_cannot_move_between_messages_unnoticed(said: list[Message]) -> None:
    merged = (Message(said[0].role, "".join(message.content for message in said)),)
    one, other = Request("m/m", tuple(said)), Request("m/m", merged)
    assert (cache_key(one, "") == cache_key(other, "")) == (one == other)


@given(st.floats(0, 2), st.none() | st.integers(0, 3))
def test_only_settled_draws_are_cached(temperature: float, sample: int | None) -> None:
    request = Request("m/m", (Message("user", "x"),), temperature=temperature, sample=sample)
    assert cache_applies(request) == (temperature == 0 or sample is not None)


@given(texts, st.integers(0, 10**9), st.integers(0, 10**9))
def test_stored_bytes_come_back_whole(text: str, tokens: int, cost: int) -> None:
    usage = Usage(input_tokens=tokens, output_tokens=2, cached_input_tokens=1)
    done = Completion(text, "ok", "c1", "m/m", usage, cost, 0.5, 1, origin_cost_nano_usd=cost, origin_latency_s=0.25)
    answer = decode(encode(done))
    assert answer is not None
    assert (answer.text, answer.usage, answer.model, answer.call_id) == (text, usage, "m/m", "c1")
    assert (answer.cost_nano_usd, answer.latency_s) == (cost, 0.25)


def test_bytes_that_are_no_answer_are_no_hit() -> None:
    assert [decode(value) for value in (b"", b"\xff", b"{}", b"[]", b'{"usage": 3}')] == [None] * 5


def test_only_whole_answers_of_the_asked_model_are_stored() -> None:
    request = Request("m/m", (Message("user", "x"),))
    done = Completion("t", "ok", "c", "m/m", Usage(), 0, 0.0, 1)
    assert storable(request, done)
    for change in ({"status": "fallback"}, {"finish_reason": "length"}, {"finish_reason": "refusal"}, {"model": "m/n"}):
        assert not storable(request, replace(done, **change))
