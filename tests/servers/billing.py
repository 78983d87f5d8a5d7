"""The loopback provider's own meter: its tokenizer, its price list and its invoice. Imports nothing of the product."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

# Runs of up to five letters or digits, and every other visible character by itself.
_PIECES = re.compile(r"[^\W_]{1,5}|[^\w\s]|_")
MARKS_PER_MESSAGE = 4
MARKS_PER_REQUEST = 3


@dataclass(frozen=True)
class Tariff:
    """USD per million tokens."""

    input_per_million: str
    output_per_million: str
    cached_input_per_million: str | None = None


@dataclass
class InvoiceLine:
    """One request as the provider bills it; the client may have vanished before it heard."""

    index: int
    request_id: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    nano_usd: int
    received_at: float
    client_vanished: bool = False


def count_tokens(text: str) -> int:
    return sum(1 for _ in _PIECES.finditer(text))


def cut_to_tokens(text: str, limit: int) -> tuple[str, bool]:
    """The first `limit` tokens of `text`, and whether anything was cut off."""
    for number, piece in enumerate(_PIECES.finditer(text), start=1):
        if number > limit:
            return text[: piece.start()].rstrip(), True
    return text, False


def count_input(body: dict[str, Any]) -> int:
    messages = body.get("messages", [])
    texts = sum(count_tokens(str(message.get("content", ""))) for message in messages)
    schema = count_tokens(json.dumps(body["response_format"])) if "response_format" in body else 0
    return texts + schema + MARKS_PER_MESSAGE * len(messages) + MARKS_PER_REQUEST


def count_embedded(body: dict[str, Any]) -> int:
    """The texts' tokens: no marks are put around what is embedded."""
    return sum(count_tokens(text) for text in embedded_texts(body))


def embedded_texts(body: dict[str, Any]) -> list[str]:
    given = body.get("input", [])
    return [given] if isinstance(given, str) else list(given)


def price_nano_usd(tariff: Tariff, input_tokens: int, output_tokens: int, cached_tokens: int) -> int:
    """Nano-USD, a started one counting whole."""
    cached_rate = tariff.cached_input_per_million or tariff.input_per_million
    micro = (
        (input_tokens - cached_tokens) * _exact(tariff.input_per_million)
        + cached_tokens * _exact(cached_rate)
        + output_tokens * _exact(tariff.output_per_million)
    )
    return math.ceil(micro * 1000)


def _exact(number: str) -> Fraction:
    return Fraction(Decimal(number))
