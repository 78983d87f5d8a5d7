"""Requests and answers as LiteLLM takes and gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.errors import FaultClass, ProviderError
from domain.pricing import Usage
from resources.llm.providers.provider_json import well_formed_text
from resources.llm.providers.usage import counted_usage
from resources.llm.types import FinishReason, ProviderAnswer, Request

# What `extra` may add. The library takes control parameters (retries, fallbacks, mock answers) by the same way.
_EXTRA = frozenset(
    {"top_k", "presence_penalty", "frequency_penalty", "logit_bias", "reasoning_effort", "thinking", "user"}
)
_VENDORS_OWN = "llm_provider-"
_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "refusal"}


def completion_parameters(request: Request) -> dict[str, Any]:
    """Parameters of one `acompletion`.

    Raises:
        ProviderError: INVALID_REQUEST, never sent; `extra` holds a parameter that may not be set there, or a text is
            not Unicode.
    """
    refused = sorted(request.extra.keys() - _EXTRA)
    if refused:
        raise _refused(f"parameter(s) {', '.join(refused)} may not be set in `extra`")
    if any(not _encodable(message.content) for message in request.messages):
        raise _refused("a message holds a lone surrogate, which no request can carry")
    parameters: dict[str, Any] = {
        "model": request.model.partition("/")[2],
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        **request.extra,
    }
    if request.top_p is not None:
        parameters["top_p"] = request.top_p
    if request.stop:
        parameters["stop"] = list(request.stop)
    if request.seed is not None:
        parameters["seed"] = request.seed
    if request.response_schema is not None:
        parameters["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.response_schema},
        }
    return parameters


def parse_answer(response: Any, input_token_bound: int, max_output_tokens: int) -> ProviderAnswer:
    """The answer in a response. Without a usable `usage`, the reserve's own bounds stand in for it.

    Raises:
        ProviderError: MALFORMED; it holds no choice, or a choice that says nothing.
    """
    if not response.choices:
        raise ProviderError("the provider's answer holds no choice", fault=FaultClass.MALFORMED, status_code=200)
    choice = response.choices[0]
    refusal = (getattr(choice.message, "provider_specific_fields", None) or {}).get("refusal")
    text, finish = choice.message.content, str(choice.finish_reason)
    if text is None and not refusal and finish == "stop":
        raise ProviderError("the provider's answer says nothing", fault=FaultClass.MALFORMED, status_code=200)
    usage = _usage(getattr(response, "usage", None))
    return ProviderAnswer(
        text=well_formed_text(text or refusal or ""),
        usage=usage or Usage(input_tokens=input_token_bound, output_tokens=max_output_tokens),
        finish_reason="refusal" if refusal else _FINISH.get(finish, "other"),
        provider_request_id=well_formed_text(str(response.id))[:200] if response.id else None,
        usage_estimated=usage is None,
    )


def vendor_headers(response: Any) -> Mapping[str, str]:
    """The headers of the vendor's own answer, which the library keeps under names of its own; names in lower case."""
    hidden = getattr(response, "_hidden_params", None) or {}
    kept = hidden.get("additional_headers") or {}
    return {name.lower().removeprefix(_VENDORS_OWN): str(value) for name, value in kept.items()}


def _usage(counted: Any) -> Usage | None:
    details = getattr(counted, "prompt_tokens_details", None)
    usage = counted_usage(
        getattr(counted, "prompt_tokens", None),
        getattr(counted, "completion_tokens", None),
        getattr(details, "cached_tokens", None),
    )
    # For an answer without a count the library reports zeros.
    return usage if usage and usage.input_tokens else None


def _encodable(text: str) -> bool:
    return text.isascii() or not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def _refused(problem: str) -> ProviderError:
    return ProviderError(
        problem,
        fault=FaultClass.INVALID_REQUEST,
        never_sent=True,
        mend=f"use the request's own field where it has one; `extra` takes {', '.join(sorted(_EXTRA))}.",
    )
