"""An upper bound of the input tokens a provider may bill, with the model's tokenizer or without any.

Without one: every token of a byte-level or byte-fallback tokenizer stands for at least one UTF-8 byte of the text it
was given, so the byte count can only be too high: about fourfold for English. Reserves are freed when the true count
arrives, so the looseness delays calls near a cap and never loses money.

With one: each message's text is counted by itself, and the marks below cover what the chat template puts around it,
as well as the few tokens by which a text may count more between marks than alone.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable

from resources.llm.types import Request

# Role, separators and the dummy space some tokenizers put before a text: 3 to 8 tokens in published chat templates.
TOKENS_PER_MESSAGE = 16
# What a template adds by itself (start marks, the answer's first mark, a default system text): up to about 100.
TOKENS_PER_REQUEST = 128
# Longer texts are not counted: that would hold up the event loop for tens of milliseconds.
LONGEST_COUNTED_TEXT = 200_000


def byte_token_bound(request: Request) -> int:
    """Tokens that the input of `request` cannot exceed: UTF-8 bytes of everything sent, plus chat-template marks."""
    return sum(_text_bytes(message.content) for message in request.messages) + _beside_texts(request)


def counted_token_bound(request: Request, count: Callable[[str], int]) -> int:
    """The same with the model's own tokenizer, whose `count` gives the tokens of a text, without marks."""
    return sum(_counted(message.content, count) for message in request.messages) + _beside_texts(request)


def _beside_texts(request: Request) -> int:
    marks = TOKENS_PER_MESSAGE * len(request.messages) + TOKENS_PER_REQUEST
    return marks + _json_bytes(request.response_schema) + _json_bytes(request.extra)


def _counted(text: str, count: Callable[[str], int]) -> int:
    if len(text) > LONGEST_COUNTED_TEXT or not _is_unicode(text):
        return _text_bytes(text)
    return count(text)


def _is_unicode(text: str) -> bool:
    """Whether it holds no lone surrogate, which some tokenizers refuse (and every provider: it will not be sent)."""
    return text.isascii() or not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def _text_bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    # Tokenizers may normalise first, and a ligature can grow: U+FDFA has 3 bytes, 33 after NFKC.
    forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text))
    return max(len(form.encode("utf-8", "surrogatepass")) for form in forms)


def _json_bytes(value: object) -> int:
    return len(json.dumps(value)) if value else 0
