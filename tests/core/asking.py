"""Short ways to make requests in tests."""

from __future__ import annotations

from typing import Any

from resources.llm import CallContext, Message, Request

MODEL = "scripted/small"


def ask(text: str = "hello", **fields: Any) -> Request:
    """A request of the scripted model that no cache answers, unless told otherwise."""
    return Request(
        fields.pop("model", MODEL),
        (Message("user", text),),
        max_output_tokens=fields.pop("max_output_tokens", 10),
        temperature=fields.pop("temperature", 1.0),
        **fields,
    )


def charged_to(*scopes: str, **fields: Any) -> CallContext:
    """A context charged to `scopes`."""
    return CallContext(scopes=scopes, **fields)
