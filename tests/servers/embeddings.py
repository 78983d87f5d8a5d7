"""The loopback provider's embedding models: vectors of words, in the two encodings of the real protocol."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Sequence
from hashlib import shake_256
from typing import Any

from servers.billing import embedded_texts

DIMENSIONS = 512
LONGEST_TEXT = 8_000


def of_words(text: str) -> list[float]:
    """A vector of the words: each adds a direction of its own, so that texts with words in common lie closer."""
    vector = [0.0] * DIMENSIONS
    for word in text.casefold().split():
        for number, byte in enumerate(shake_256(word.encode()).digest(DIMENSIONS)):
            vector[number] += byte / 255 - 0.5
    return vector


def refusal(body: dict[str, Any]) -> dict[str, Any] | None:
    """The `error` of a request that a real endpoint answers with 400; None where it would answer."""
    texts = embedded_texts(body)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        return {"message": "'$.input' is invalid", "type": "invalid_request_error", "param": "input", "code": None}
    if any(len(text) > LONGEST_TEXT for text in texts):
        return {"message": "maximum context length", "type": "invalid_request_error", "code": None}
    if body.get("encoding_format", "float") not in ("float", "base64") or "messages" in body:
        return {"message": "unknown parameter", "type": "invalid_request_error", "code": None}
    return None


def embedded(body: dict[str, Any], vectors: Sequence[Sequence[float]], tokens: int) -> dict[str, Any]:
    """The answer in the real protocol; `dimensions` cuts the vectors short."""
    cut = [list(vector[: body.get("dimensions")]) for vector in vectors]
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": as_base64(vector) if packed else vector}
        for index, vector in enumerate(cut)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": str(body.get("model")), "usage": usage}


def as_base64(vector: Sequence[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
