"""An answer that came in pieces (server-sent events), put together into the chat completion it stands for."""

from __future__ import annotations

import json
from typing import Any

from domain.errors import FaultClass, ProviderError

_END = b"[DONE]"


def completion_of(events: bytes) -> bytes:
    """The JSON of a chat completion from the whole stream.

    Raises:
        ProviderError: MALFORMED; an event is no piece of a completion, or the answer never came to its end.
    """
    content: list[str] = []
    refusal: list[str] = []
    joined: dict[str, Any] = {}
    finish: Any = None
    try:
        for piece in _pieces(events):
            joined |= {name: piece[name] for name in ("id", "usage") if piece.get(name)}
            for choice in (piece.get("choices") or [])[:1]:
                said = choice.get("delta") or {}
                content.append(said.get("content") or "")
                refusal.append(said.get("refusal") or "")
                finish = choice.get("finish_reason") or finish
        text, refused = "".join(content), "".join(refusal)
        message = {"content": None if refused and not text else text, "refusal": refused or None}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        finish = None
    else:
        joined["choices"] = [{"message": message, "finish_reason": finish}]
    if finish is None:
        raise ProviderError(
            "the provider's stream is no complete chat completion", fault=FaultClass.MALFORMED, status_code=200
        )
    return json.dumps(joined).encode()


def _pieces(events: bytes) -> list[Any]:
    # One line per event is all that chat completions use of the format.
    lines = (line.removeprefix(b"data:").strip() for line in events.splitlines() if line.startswith(b"data:"))
    return [json.loads(line) for line in lines if line and line != _END]
