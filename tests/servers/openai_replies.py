"""What the loopback provider sends: answers as completions or events, and the ways in which they go wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from servers.billing import InvoiceLine

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the model says, where a plain text is not enough."""

    text: str
    finish_reason: str | None = None
    cached_input_tokens: int = 0
    refusal: str | None = None


@dataclass(frozen=True)
class Fault:
    """How one request goes wrong. Only requests whose model ran are billed.

    Attributes:
        status: answer this HTTP status instead of running the model; not billed unless `billed`.
        retry_after: value of the Retry-After header.
        headers: further headers of the answer.
        error: the `error` object of a refused request's body.
        latency_s: real seconds before the answer starts; the bill is written before them.
        cut: close the connection before the headers, or in the middle of the body.
        raw_body: send these bytes as the 200's body instead of a chat completion.
        missing_usage: leave `usage` out of the answer (the invoice has it).
        reported_usage: report this `usage` instead of the true one.
        billed: overrides whether the request is billed.
        no_stream: answer in one piece where a stream was asked for.
    """

    status: int | None = None
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    latency_s: float = 0.0
    cut: Literal["before_headers", "mid_body"] | None = None
    raw_body: bytes | None = None
    missing_usage: bool = False
    reported_usage: Mapping[str, Any] | None = None
    billed: bool | None = None
    no_stream: bool = False


def completion_of(answer: Answer, text: str, line: InvoiceLine, *, was_cut: bool) -> Body:
    """The chat completion with `text`, which may be less than the model said."""
    finish = answer.finish_reason or ("length" if was_cut else "stop")
    message = {"role": "assistant", "content": None if answer.refusal else text, "refusal": answer.refusal}
    return {
        "id": line.request_id,
        "object": "chat.completion",
        "model": line.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": line.input_tokens,
            "completion_tokens": line.output_tokens,
            "total_tokens": line.input_tokens + line.output_tokens,
            "prompt_tokens_details": {"cached_tokens": line.cached_input_tokens},
        },
    }


def with_usage_of(fault: Fault, answer: Body) -> Body:
    """The answer with the usage that the fault lets it report."""
    told = {name: value for name, value in answer.items() if name != "usage"}
    if fault.missing_usage:
        return told
    return answer if fault.reported_usage is None else {**told, "usage": dict(fault.reported_usage)}


def as_events(completion: Body) -> bytes:
    """`completion` as the server-sent events of a stream: a role, one piece per letter, the end, the usage."""
    base = {"id": completion["id"], "object": "chat.completion.chunk", "model": completion["model"]}
    said = completion["choices"][0]
    deltas: list[Body] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": letter} for letter in said["message"]["content"] or ""]
    deltas += [{"refusal": letter} for letter in said["message"]["refusal"] or ""]
    chunks = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": said["finish_reason"]}]})
    if "usage" in completion:
        chunks.append({**base, "choices": [], "usage": completion["usage"]})
    lines = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def headers_of(fault: Fault) -> dict[str, str]:
    """The headers a fault adds."""
    retry = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    return {**fault.headers, **retry}


def error_response(status: int, error: Mapping[str, Any], headers: Mapping[str, str]) -> web.Response:
    """A refused request."""
    details = {"message": "refused", "type": None, "code": None, **error}
    return web.json_response({"error": details}, status=status, headers=headers)


async def deliver(request: web.Request, payload: bytes, fault: Fault, kind: str) -> web.StreamResponse:
    """Send the answer, whole or broken off."""
    headers = {"Content-Type": kind, **headers_of(fault)}
    if fault.cut is None:
        return web.Response(body=payload, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = len(payload)
    if fault.cut == "mid_body":
        await response.prepare(request)
        await response.write(payload[: len(payload) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
