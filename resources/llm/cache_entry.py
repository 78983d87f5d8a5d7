"""What makes two requests the same, and a stored answer's bytes."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import NamedTuple

import orjson

from domain.errors import InputError
from domain.pricing import Usage
from resources.llm.types import Completion, FinishReason, Request

_FORMAT = 3


class CachedAnswer(NamedTuple):
    """An answer with what it cost and how long it took when it was made. Only whole ones (`stop`) are stored."""

    text: str
    usage: Usage
    model: str
    call_id: str
    cost_nano_usd: int
    latency_s: float
    finish_reason: FinishReason = "stop"


def cache_applies(request: Request) -> bool:
    """Whether one answer may stand for another: at temperature 0, or for an explicitly numbered draw."""
    return request.temperature == 0 or request.sample is not None


def cache_key(request: Request, address: str) -> str:
    """SHA-256 over all that can change the answer, the endpoint's address included; nothing of the call's context.

    Raises:
        InputError: `extra` or `response_schema` hold something JSON cannot say.
    """
    # With its length before it, no text can pass for two, nor for what stands around it.
    messages = "".join([f"{role} {len(content)}\n{content}" for role, content in request.messages])
    identity = _identity_without_messages(request, address) + messages
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def _identity_without_messages(request: Request, address: str) -> str:
    if request.extra or request.response_schema is not None:
        return _as_json(_parameters(request, address))
    return _plain_identity(
        address,
        request.model,
        request.max_output_tokens,
        float(request.temperature),
        request.top_p,
        request.stop,
        request.seed,
        request.sample,
    )


@lru_cache(maxsize=256, typed=True)
def _plain_identity(*parameters: object) -> str:
    return _as_json(parameters)


def _parameters(request: Request, address: str) -> tuple[object, ...]:
    return (
        address,
        request.model,
        request.max_output_tokens,
        float(request.temperature),
        request.top_p,
        request.stop,
        request.seed,
        request.sample,
        request.response_schema,
        request.extra,
    )


def _as_json(parameters: tuple[object, ...]) -> str:
    try:
        text = json.dumps((_FORMAT, *parameters), separators=(",", ":"), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The request cannot be written as JSON: {error}.", field="extra", mend="Use JSON values only."
        ) from None
    return text + "\n"


def storable(request: Request, completion: Completion) -> bool:
    """Only a whole answer of the very model that was asked is worth keeping."""
    whole = completion.status == "ok" and completion.finish_reason == "stop" and completion.model == request.model
    return whole and _is_unicode(completion.text)


def answer_of(completion: Completion) -> CachedAnswer:
    """What `completion` is to others who asked the same at the same time, whether it may be stored or not."""
    return CachedAnswer(
        completion.text,
        completion.usage,
        completion.model,
        completion.call_id,
        completion.origin_cost_nano_usd,
        completion.origin_latency_s,
        completion.finish_reason,
    )


def encode(completion: Completion) -> bytes:
    """The bytes to store for `completion`."""
    usage = completion.usage
    return orjson.dumps(
        (
            completion.text,
            (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens),
            completion.model,
            completion.call_id,
            completion.origin_cost_nano_usd,
            completion.origin_latency_s,
        )
    )


@lru_cache(maxsize=256)
def decode(value: bytes) -> CachedAnswer | None:
    """The stored answer; None where the bytes are not one."""
    try:
        text, (given, said, cached), model, call_id, cost, latency_s = orjson.loads(value)
        usage = Usage(input_tokens=given, output_tokens=said, cached_input_tokens=cached)
    except (ValueError, TypeError):
        return None
    return CachedAnswer(text, usage, model, call_id, cost, latency_s)


def _is_unicode(text: str) -> bool:
    """Half a surrogate pair, which some models write, has no bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
