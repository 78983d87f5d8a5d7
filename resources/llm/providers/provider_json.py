"""JSON as providers write it: some escape half a surrogate pair, which no UTF-8 database or file takes."""

from __future__ import annotations

import json
from typing import Any

import orjson


def read_json(data: bytes) -> Any:
    """What `data` says; a half of a surrogate pair becomes the replacement character.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deep.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _well_formed(json.loads(data))


def well_formed_text(text: str) -> str:
    """`text` with two halves of a pair joined, and the replacement character for each half that is alone."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _well_formed(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed_text(value)
    if isinstance(value, list):
        return [_well_formed(each) for each in value]
    if isinstance(value, dict):
        return {well_formed_text(name): _well_formed(each) for name, each in value.items()}
    return value
