"""Bounds with a tokenizer at hand are tight, and never below what it counts for the rendered chat."""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from openai_calls import provider_for
from providers.test_token_bound import byte_fallback_bpe, byte_level_bpe
from servers.openai_server import OpenAIServer
from tokenizers import Tokenizer

from domain.errors import ConfigurationError
from domain.message import Message
from resources.llm.providers.local_tokenizers import CountTokens, cached_encoding_counter, folder_counter
from resources.llm.providers.openai import OpenAIProvider
from resources.llm.providers.openai_endpoint import VENDOR_BASE_URL
from resources.llm.providers.tokens import LONGEST_COUNTED_TEXT, byte_token_bound, counted_token_bound
from resources.llm.settings import EndpointSettings
from resources.llm.types import Request

MARKS = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<s>", "</s>"]
# What published models put around a chat: Qwen's with its default system text, Llama 3's, Mistral's.
TEMPLATES = {
    "qwen": (
        "{% if messages and messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. "
        "You are a helpful assistant.<|im_end|>\n{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}"
        "\n{{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
    ),
    "llama": (
        "<s>{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
        "{{ message.content }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "mistral": (
        "<s>{% for message in messages %}{% if message.role == 'assistant' %} {{ message.content }}</s>"
        "{% else %}[INST] {{ message.content }} [/INST]{% endif %}{% endfor %}"
    ),
}
LITELLMS_TOKENIZERS = "litellm_core_utils/tokenizers"

awkward = st.sampled_from([*MARKS, "\n", "\n\n\n", "  ", "[INST]", "é", "\ufdfa", "aaaa", "<", "|>", "1234567"])
contents = st.lists(st.text(max_size=60) | awkward, max_size=6).map("".join)
chats = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), contents), max_size=5).map(tuple)


def rendered(template: str, messages: tuple[Message, ...]) -> str:
    return Environment().from_string(TEMPLATES[template]).render(messages=messages)


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module", params=["trained", "bytes only", "byte fallback"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "byte fallback":
        made = byte_fallback_bpe()
    else:
        made = byte_level_bpe(260 if request.param == "bytes only" else 600)
    made.add_special_tokens(MARKS)
    return made


@pytest.fixture(scope="module")
def count(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> CountTokens:
    return folder_counter(saved(tokenizer, tmp_path_factory.mktemp("tokenizer") / "it"), "field")


@settings(max_examples=150, deadline=None)
@given(chat=chats, template=st.sampled_from(sorted(TEMPLATES)))
def test_the_bound_is_never_below_the_count_of_the_rendered_chat(
    tokenizer: Tokenizer, count: CountTokens, chat: tuple[Message, ...], template: str
) -> None:
    bound = counted_token_bound(Request("vllm/any", chat), count)
    frame = rendered(template, tuple(Message(message.role, "") for message in chat))
    # A mark inside a message is a mark to some servers, and letters to others.
    tokenizer.encode_special_tokens = True
    letters = [len(tokenizer.encode(message.content, add_special_tokens=False).ids) for message in chat]
    tokenizer.encode_special_tokens = False
    assert len(tokenizer.encode(rendered(template, chat), add_special_tokens=False).ids) <= bound
    assert len(tokenizer.encode(frame, add_special_tokens=False).ids) + sum(letters) <= bound


@pytest.fixture
def tiktokens_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real vocabularies of OpenAI that LiteLLM's package carries, where tiktoken looks for its own."""
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        pytest.skip("litellm, which carries vocabularies, is not installed")
    _forget()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(Path(spec.origin).parent / LITELLMS_TOKENIZERS))
    monkeypatch.setattr(socket, "create_connection", _no_network)


def _forget() -> None:
    from resources.llm.providers import local_tokenizers

    local_tokenizers._cached_encoding.cache_clear()


def _no_network(*_: Any, **__: Any) -> None:
    raise AssertionError("nothing may be downloaded")


OPENAIS_FRAME = "<|im_start|>{role}<|im_sep|>{content}<|im_end|>"


@pytest.mark.usefixtures("tiktokens_cache")
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o-mini"])
def test_so_it_is_with_openais_own_encodings(model: str) -> None:
    import tiktoken

    count = cached_encoding_counter(model)
    assert count is not None
    encoding = tiktoken.encoding_for_model(model)

    @settings(max_examples=100, deadline=None)
    @given(chat=chats)
    def holds(chat: tuple[Message, ...]) -> None:
        # The frame's marks are tokens of their own; between them, role and text are read together at worst.
        counted = 3 + sum(3 + len(encoding.encode_ordinary(f"{m.role}\n{m.content}")) for m in chat)
        assert counted <= counted_token_bound(Request("openai/any", chat), count)

    holds()


@pytest.mark.usefixtures("tiktokens_cache")
def test_openais_own_endpoint_reserves_a_quarter_of_the_bytes() -> None:
    text = " ".join(["I was charged twice for one order and nobody answers my letters."] * 60)
    request = Request("openai/gpt-4o-mini", (Message("user", text),))
    own = OpenAIProvider(EndpointSettings())
    other = OpenAIProvider(EndpointSettings(base_url="http://127.0.0.1:1/v1"))
    told = OpenAIProvider(EndpointSettings(base_url="http://127.0.0.1:1/v1", options={"tokenizer": "tiktoken"}))
    off = OpenAIProvider(EndpointSettings(base_url=VENDOR_BASE_URL, options={"tokenizer": "bytes"}))
    assert own.input_token_bound(request) * 3 < byte_token_bound(request)
    assert other.input_token_bound(request) == off.input_token_bound(request) == byte_token_bound(request)
    assert told.input_token_bound(request) == own.input_token_bound(request)
    unknown = Request("openai/nobody-knows", request.messages)
    assert own.input_token_bound(unknown) == byte_token_bound(unknown)


@pytest.mark.parametrize("cache", ["empty", "damaged"])
def test_an_encoding_that_is_not_at_hand_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    _forget()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", _no_network)
    if cache == "damaged":
        (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").write_text("IQ== 0\n")
    assert cached_encoding_counter("gpt-4o") is None
    _forget()


async def test_a_folder_bounds_every_model_of_an_endpoint(tmp_path: Path, openai_server: OpenAIServer) -> None:
    folder = saved(byte_level_bpe(600), tmp_path / "it")
    provider = provider_for(openai_server, options={"tokenizer": str(folder)})
    request = Request("openai/any", (Message("user", "where is my parcel " * 100),))
    bound = provider.input_token_bound(request)
    answer = await provider.send(request, 5)
    await provider.close()
    assert answer.usage.input_tokens <= bound < byte_token_bound(request) / 3


def test_what_an_endpoint_adds_to_each_request_is_reserved() -> None:
    request = Request("openai/any", (Message("user", "hello"),))
    provider = OpenAIProvider(EndpointSettings(options={"tokenizer": "bytes", "extra_input_tokens": 900}))
    assert provider.input_token_bound(request) == byte_token_bound(request) + 900


def test_texts_too_long_to_count_and_texts_nobody_can_send_are_bounded_by_bytes() -> None:
    def refuse(_: str) -> int:
        raise AssertionError

    for text in ("x" * (LONGEST_COUNTED_TEXT + 1), "\ud800"):
        request = Request("openai/any", (Message("user", text),))
        assert counted_token_bound(request, refuse) == byte_token_bound(request)


def test_a_tokenizer_that_was_saved_with_a_cut_counts_all(tmp_path: Path) -> None:
    cutting = byte_level_bpe(260)
    cutting.enable_truncation(4)
    cutting.enable_padding(length=64)
    count = folder_counter(saved(cutting, tmp_path / "it"), "field")
    assert (count("a"), count("a" * 900)) == (2, 901)  # this tokenizer puts a space before each text


def no_file(folder: Path) -> None:
    folder.mkdir()


def no_tokenizer(folder: Path) -> None:
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize("prepare", [lambda folder: None, no_file, no_tokenizer])
def test_a_folder_without_a_tokenizer_is_an_error_at_once(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "it")
    with pytest.raises(ConfigurationError, match="Mend:") as caught:
        OpenAIProvider(EndpointSettings(options={"tokenizer": str(tmp_path / "it")}))
    assert caught.value.field == "endpoints.options.tokenizer"
    assert str(tmp_path / "it") in (caught.value.file or "")
