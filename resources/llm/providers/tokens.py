"""An upper bound of the input tokens a provider may bill, safe for tokenizers nobody has at hand.

A real tokenizer's count would be tighter, but its vocabulary is a download, and a budget must hold where there is no
network. Every token of a byte-level or byte-fallback tokenizer stands for at least one UTF-8 byte of the text it was
given, so the byte count can only be too high: about fourfold for English. Reserves are freed when the true count
arrives, so the looseness delays calls near a cap and never loses money.
"""

from __future__ import annotations

import json
import unicodedata

from resources.llm.types import Request

# Role, separators and the dummy space some tokenizers put before a text: 3 to 8 tokens in published chat templates.
TOKENS_PER_MESSAGE = 16
# What a template adds by itself (start marks, the answer's first mark, a default system text): up to about 100.
TOKENS_PER_REQUEST = 128


def byte_token_bound(request: Request) -> int:
    """Tokens that the input of `request` cannot exceed: UTF-8 bytes of everything sent, plus chat-template marks."""
    texts = sum(_text_bytes(message.content) for message in request.messages)
    marks = TOKENS_PER_MESSAGE * len(request.messages) + TOKENS_PER_REQUEST
    return texts + marks + _json_bytes(request.response_schema) + _json_bytes(request.extra)


def _text_bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    # Tokenizers may normalise first, and a ligature can grow: U+FDFA has 3 bytes, 33 after NFKC.
    forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text))
    return max(len(form.encode("utf-8", "surrogatepass")) for form in forms)


def _json_bytes(value: object) -> int:
    return len(json.dumps(value)) if value else 0
