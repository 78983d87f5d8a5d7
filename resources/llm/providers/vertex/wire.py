"""Requests and answers in the shape of Vertex AI's generateContent."""

from __future__ import annotations

from typing import Any

from google.cloud.aiplatform_v1.types import Candidate, GenerateContentRequest, GenerateContentResponse
from google.protobuf.json_format import ParseError

from domain.errors import FaultClass, ProviderError
from domain.pricing import Usage
from resources.llm.providers.usage import counted_usage
from resources.llm.types import FinishReason, ProviderAnswer, Request

_ROLES = {"user": "user", "assistant": "model"}
# What `extra` may add. All else has a field of its own, or is billed beyond the tokens that were reserved.
_GENERATION_EXTRA = frozenset({"top_k", "presence_penalty", "frequency_penalty", "thinking_config"})
_REQUEST_EXTRA = frozenset({"safety_settings", "labels"})

_Finish = Candidate.FinishReason
_FINISH: dict[int, FinishReason] = {
    _Finish.STOP: "stop",
    _Finish.MAX_TOKENS: "length",
    _Finish.SAFETY: "refusal",
    _Finish.RECITATION: "refusal",
    _Finish.BLOCKLIST: "refusal",
    _Finish.PROHIBITED_CONTENT: "refusal",
    _Finish.SPII: "refusal",
    _Finish.MODEL_ARMOR: "refusal",
}


def generate_request(request: Request, path: str) -> GenerateContentRequest:
    """The call of `request` to the model at resource name `path`.

    Raises:
        ProviderError: INVALID_REQUEST, never sent; `extra` or a text cannot be said in it.
    """
    _refuse_extra(request)
    system = [{"text": message.content} for message in request.messages if message.role == "system"]
    values: dict[str, Any] = {
        "model": path,
        "contents": [
            {"role": _ROLES[message.role], "parts": [{"text": message.content}]}
            for message in request.messages
            if message.role != "system"
        ],
        "generation_config": _generation_config(request),
        **{name: value for name, value in request.extra.items() if name in _REQUEST_EXTRA},
    }
    if system:
        values["system_instruction"] = {"parts": system}
    try:
        return GenerateContentRequest(values)
    except (TypeError, ValueError, ParseError):
        # The cause is dropped: it quotes the values.
        problem = "the request holds a value or a text that Vertex AI's format cannot say"
    raise ProviderError(problem, fault=FaultClass.INVALID_REQUEST, never_sent=True)


def parse_answer(response: GenerateContentResponse, input_token_bound: int, max_output_tokens: int) -> ProviderAnswer:
    """The answer in a response. Without a usable count of tokens, the reserve's own bounds stand in for it.

    Raises:
        ProviderError: MALFORMED; it holds neither a candidate nor the reason why there is none.
    """
    usage = _usage(response)
    # Read from the bare message: for a reason that is newer than the library, the wrapper would warn.
    blocked = bool(GenerateContentResponse.pb(response).prompt_feedback.block_reason)
    if not response.candidates and not blocked:
        raise ProviderError("the provider's answer holds no candidate", fault=FaultClass.MALFORMED)
    text, finish = _said(response.candidates[0]) if response.candidates else ("", "refusal")
    return ProviderAnswer(
        text=text,
        usage=usage or Usage(input_tokens=input_token_bound, output_tokens=max_output_tokens),
        finish_reason=finish,
        provider_request_id=response.response_id[:200] or None,
        usage_estimated=usage is None,
    )


def _generation_config(request: Request) -> dict[str, Any]:
    config: dict[str, Any] = {
        "temperature": request.temperature,
        "max_output_tokens": request.max_output_tokens,
        **{name: value for name, value in request.extra.items() if name in _GENERATION_EXTRA},
    }
    if request.top_p is not None:
        config["top_p"] = request.top_p
    if request.stop:
        config["stop_sequences"] = list(request.stop)
    if request.seed is not None:
        config["seed"] = request.seed
    if request.response_schema is not None:
        config["response_mime_type"] = "application/json"
        config["response_json_schema"] = request.response_schema
    return config


def _said(candidate: Candidate) -> tuple[str, FinishReason]:
    text = "".join(part.text for part in candidate.content.parts if not part.thought)
    return text, _FINISH.get(Candidate.pb(candidate).finish_reason, "other")


def _usage(response: GenerateContentResponse) -> Usage | None:
    counted = response.usage_metadata
    if counted.prompt_token_count <= 0 or counted.candidates_token_count < 0 or counted.thoughts_token_count < 0:
        return None
    # Thoughts are billed as output, and max_output_tokens bounds both together.
    said = counted.candidates_token_count + counted.thoughts_token_count
    return counted_usage(counted.prompt_token_count, said, counted.cached_content_token_count)


def _refuse_extra(request: Request) -> None:
    refused = sorted(request.extra.keys() - _GENERATION_EXTRA - _REQUEST_EXTRA)
    if refused:
        raise ProviderError(
            f"parameter(s) {', '.join(refused)} may not be set in `extra`",
            fault=FaultClass.INVALID_REQUEST,
            never_sent=True,
            mend=f"use the request's own field where it has one; `extra` takes "
            f"{', '.join(sorted(_GENERATION_EXTRA | _REQUEST_EXTRA))}.",
        )
