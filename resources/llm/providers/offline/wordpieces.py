"""The provider's tokens: runs of up to six letters or digits, and every other visible character by itself.

About 1.3 tokens for an English word, close to what language models' tokenizers make of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from domain.message import Message

TOKENS_PER_MESSAGE = 4
TOKENS_PER_ANSWER = 3

_PIECE = re.compile(r"\w{1,6}|[^\w\s]")


def count_tokens(text: str) -> int:
    """Tokens in `text`."""
    return len(_PIECE.findall(text))


def count_messages(messages: Sequence[Message]) -> int:
    """Tokens in `messages` with the marks around each, without the mark that opens the answer."""
    return sum(count_tokens(message.content) + TOKENS_PER_MESSAGE for message in messages)


def cut_to_tokens(text: str, limit: int) -> tuple[str, bool]:
    """The first `limit` tokens of `text`, and whether that cut anything off."""
    beyond = next(islice(_PIECE.finditer(text), limit, None), None)
    return (text, False) if beyond is None else (text[: beyond.start()].rstrip(), True)
