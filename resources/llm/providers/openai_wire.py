"""Requests and answers in the chat-completions format, as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import orjson

from domain.errors import FaultClass, ProviderError
from domain.pricing import Usage
from resources.llm.providers.provider_json import read_json
from resources.llm.providers.usage import counted_usage
from resources.llm.types import FinishReason, ProviderAnswer, Request

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]

# Each has a field of its own in Request, so a value in `extra` would contradict what was reserved and cached.
_OWN_FIELDS = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed"}
)
# Each is billed beyond input plus max_output_tokens at the model's price, or changes the answer's format.
_UNPRICED = frozenset(
    {
        "n",
        "best_of",
        "stream",
        "stream_options",
        "service_tier",
        "prediction",
        "audio",
        "modalities",
        "web_search_options",
    }
)

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "refusal"}


def request_body(request: Request, max_tokens_field: MaxTokensField, *, stream: bool = False) -> bytes:
    """The JSON body of one chat-completions call; `stream` asks for an answer in pieces, with its usage.

    Raises:
        ProviderError: `extra` holds a parameter that may not be set there, or a text is not Unicode; nothing was sent.
    """
    _refuse_extra(request)
    body: dict[str, Any] = {
        "model": request.model.partition("/")[2],
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        max_tokens_field: request.max_output_tokens,
        "temperature": request.temperature,
    }
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.response_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.response_schema},
        }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.extra or request.response_schema is not None:
        return _encode(body | request.extra, plain=False)
    return _encode(body, plain=True)


def parse_answer(body: bytes, input_token_bound: Callable[[], int], max_output_tokens: int) -> ProviderAnswer:
    """The answer in a 200's body; see `read_answer`.

    Raises:
        ProviderError: MALFORMED; the body is not a chat completion.
    """
    try:
        parsed = read_json(body)
    except (ValueError, RecursionError):
        parsed = None
    return read_answer(parsed, input_token_bound, max_output_tokens)


def read_answer(parsed: Any, input_token_bound: Callable[[], int], max_output_tokens: int) -> ProviderAnswer:
    """The answer in a chat completion. Without a usable `usage`, the reserve's own bounds stand in for it.

    Raises:
        ProviderError: MALFORMED; `parsed` is not a chat completion.
    """
    try:
        choice = parsed["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        finish = choice.get("finish_reason")
        request_id = parsed.get("id")
    except (LookupError, TypeError, AttributeError):
        choice = None
    else:
        text = content if isinstance(content, str) else refusal if isinstance(refusal, str) else None
        if text is None and content is None and finish in ("length", "content_filter", "tool_calls"):
            text = ""
        if text is not None:
            usage = _usage(parsed)
            return ProviderAnswer(
                text=text,
                usage=usage or Usage(input_tokens=input_token_bound(), output_tokens=max_output_tokens),
                finish_reason="refusal" if refusal else _FINISH.get(str(finish), "other"),
                provider_request_id=request_id[:200] if isinstance(request_id, str) else None,
                usage_estimated=usage is None,
            )
    raise ProviderError("the provider's answer is not a chat completion", fault=FaultClass.MALFORMED, status_code=200)


def _refuse_extra(request: Request) -> None:
    refused = sorted(request.extra.keys() & (_OWN_FIELDS | _UNPRICED))
    if request.response_schema is not None and "response_format" in request.extra:
        refused.append("response_format")
    if refused:
        raise ProviderError(
            f"parameter(s) {', '.join(refused)} may not be set in `extra`",
            fault=FaultClass.INVALID_REQUEST,
            never_sent=True,
            mend="use the request's own field where it has one; parameters that change how an answer is billed are "
            "refused because no reserve would cover them.",
        )


def _encode(body: dict[str, Any], *, plain: bool) -> bytes:
    """`plain`: nothing in it came from outside but text, so it cannot hold NaN, which orjson would send as null."""
    try:
        if plain:
            return orjson.dumps(body)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (UnicodeEncodeError, ValueError, TypeError):
        problem = "the request holds a lone surrogate, NaN or a value JSON cannot say"
    raise ProviderError(problem, fault=FaultClass.INVALID_REQUEST, never_sent=True)


def _usage(parsed: dict[str, Any]) -> Usage | None:
    usage = parsed.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return counted_usage(usage.get("prompt_tokens"), usage.get("completion_tokens"), cached)
