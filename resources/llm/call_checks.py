"""Turning away requests and contexts that money, limits or the ledger could not follow."""

from __future__ import annotations

from math import isfinite
from typing import get_args

from domain.errors import InputError
from domain.message import Message, Role
from domain.pricing import MAX_TOKENS
from resources.llm.records import LINEAGE_FIELDS, lineage_values
from resources.llm.types import CacheUse, CallContext, Request

# They change what an attempt costs beyond its reserve, or what it answers beyond what is read.
_RESERVED_EXTRAS = frozenset(
    {"model", "messages", "n", "best_of", "candidate_count", "max_tokens", "max_completion_tokens", "stream"}
)
_SEQUENCES = (tuple, list)
_ROLES: tuple[str, ...] = get_args(Role)
_CACHE_USES = frozenset(get_args(CacheUse))
_LONGEST = {"purpose": 50, "prompt_version_id": 64, "dataset_version_id": 64}
_LONGEST_OTHERWISE = 200


def check_request(request: Request) -> None:
    """Return only if `request` can be priced and sent.

    Raises:
        InputError: names the field.
    """
    if not isinstance(request.max_output_tokens, int) or not 1 <= request.max_output_tokens <= MAX_TOKENS:
        raise InputError(
            "A request needs room to answer.", field="max_output_tokens", mend=f"Ask for 1 to {MAX_TOKENS} tokens."
        )
    if not isfinite(request.temperature) or not (request.top_p is None or isfinite(request.top_p)):
        raise InputError("A request samples with finite numbers.", field="temperature", mend="Give 0 to 2.")
    _check_messages(request.messages)
    if request.stop and not _are_texts(request.stop):
        raise InputError("`stop` holds texts.", field="stop", mend='Give a tuple of them, e.g. ("END",).')
    _check_text("model", request.model)
    if request.extra and (taken := _RESERVED_EXTRAS.intersection(request.extra)):
        raise InputError(
            f"`extra` must not hold {', '.join(sorted(taken))}.",
            field="extra",
            mend="Use the request's own fields; for several answers make several requests with their own `sample`.",
        )


def check_context(context: CallContext) -> None:
    """Return only if the ledger can hold `context`, its deadline is a time to come, and its use of the cache is known.

    Raises:
        InputError: names the field.
    """
    if context.deadline_s is not None and not context.deadline_s > 0:
        raise InputError("The deadline must lie ahead.", field="deadline_s", mend="Give seconds above 0, or None.")
    if context.cache not in _CACHE_USES:
        raise InputError(
            "A call uses the cache, reads it or passes it by.", field="cache", mend="Give on, read or off."
        )
    for name, value in zip(LINEAGE_FIELDS, lineage_values(context), strict=True):
        if value is not None:
            _check_text(name, value)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, _SEQUENCES) or not messages:
        raise InputError("A request needs a message.", field="messages", mend="Give a tuple of `Message`.")
    for message in messages:
        # A dictionary would pass for two texts, its keys: all such conversations would be the same to the cache.
        if not isinstance(message, Message) or message.role not in _ROLES or not isinstance(message.content, str):
            raise InputError(
                "A message is a `Message` of a known role with a text.",
                field="messages",
                mend=f"Write Message(role, text); roles are {', '.join(_ROLES)}.",
            )


def _are_texts(texts: object) -> bool:
    # One text alone would be sent letter by letter.
    return isinstance(texts, _SEQUENCES) and all(isinstance(text, str) for text in texts)


def _check_text(name: str, value: str) -> None:
    longest = _LONGEST.get(name, _LONGEST_OTHERWISE)
    if not isinstance(value, str) or len(value) > longest or "\x00" in value or not _is_unicode(value):
        raise InputError(
            f"`{name}` must be text of at most {longest} characters.", field=name, mend="Use a shorter name or an id."
        )


def _is_unicode(text: str) -> bool:
    """Whether no half of a surrogate pair is in it, which neither database nor JSON could hold."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
