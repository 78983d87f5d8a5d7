from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.billing import count_input
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from domain.message import Message
from resources.llm.providers.openai_wire import request_body
from resources.llm.providers.tokens import byte_token_bound
from resources.llm.types import Request

CORPUS = ["where is my parcel", "I was charged twice for one order", "naïve café 東京", "def f(x): return x ** 2"] * 20
# What Llama-like chat templates put around each message and at the end.
TEMPLATE = "<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>"


def byte_level_bpe(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    marks = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=marks, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_fallback_bpe() -> Tokenizer:
    """As SentencePiece models do: NFKC first, `▁` for spaces, unknown characters byte by byte."""
    pieces = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁"]
    tokenizer = Tokenizer(models.BPE({piece: at for at, piece in enumerate(pieces)}, [], byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


@pytest.fixture(scope="module", params=["bytes only", "trained", "byte fallback"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "byte fallback":
        return byte_fallback_bpe()
    return byte_level_bpe(260 if request.param == "bytes only" else 600)


messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=200)), max_size=6
).map(tuple)


@settings(max_examples=150, deadline=None)
@given(texts=messages)
def test_the_bound_is_never_below_a_real_tokenizers_count(tokenizer: Tokenizer, texts: tuple[Message, ...]) -> None:
    request = Request(model="openai/any", messages=texts)
    rendered = "".join(TEMPLATE.format(role=message.role, content=message.content) for message in texts)
    counted = len(tokenizer.encode(rendered).ids)
    # The byte-fallback model has no marks of its own and spells them out; a real one has a token for each.
    spelt = 0 if tokenizer.token_to_id("<|eot_id|>") is not None else len(texts) * len(TEMPLATE.encode())
    assert counted <= byte_token_bound(request) + spelt


@given(texts=messages, schema=st.none() | st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3))
def test_the_bound_covers_the_loopback_bill(texts: tuple[Message, ...], schema: dict[str, Any] | None) -> None:
    request = Request(model="openai/any", messages=texts, response_schema=schema)
    assert count_input(json.loads(request_body(request, "max_tokens"))) <= byte_token_bound(request)


def test_text_that_grows_under_normalisation_is_covered() -> None:
    grown = "\ufdfa" * 50
    request = Request(model="openai/any", messages=(Message("user", grown),))
    assert len(byte_fallback_bpe().encode(grown).ids) > len(grown.encode())
    assert len(byte_fallback_bpe().encode(grown).ids) <= byte_token_bound(request)


def test_the_bound_stays_within_six_times_plain_english() -> None:
    text = " ".join(["I was charged twice for one order and nobody answers my letters."] * 20)
    request = Request(model="openai/any", messages=(Message("user", text),))
    assert byte_token_bound(request) <= 6 * count_input({"messages": [{"content": text}]})
