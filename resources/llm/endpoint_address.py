"""What of an endpoint's settings can change an answer, and so is part of a cached answer's identity."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from resources.llm.settings import EndpointSettings

SAME_ANSWERS = frozenset(
    {
        "tokenizer",
        "extra_input_tokens",
        "stream",
        "first_byte_s",
        "batch_size",
        "batch_wait_ms",
        "download",
        "batch_window",
        "batch_requests",
        "batch_bytes",
        "batch_lookup",
        "batch_folder",
        "batch_url",
        "storage_url",
    }
)
"""Options that decide how an answer is got or what is reserved for it, not what it says. Any other counts."""

# A key that is renewed must not cost all answers anew.
_PROVES_WHO_ASKS = re.compile(
    r"(^|[-_])auth|token|cookie|secret|credential|signature|password|(api|access|subscription)[-_]?key"
)


def address_of(name: str, settings: EndpointSettings) -> str:
    """Where the models of endpoint `name` are reached, and what else decides how they answer.

    An endpoint without such settings is its place alone. Headers go in as one SHA-256, without those that only prove
    who asks.
    """
    place = "|".join(part or "" for part in (settings.base_url, settings.project, settings.location))
    extras: dict[str, Any] = {}
    if settings.provider not in (None, name):
        extras["provider"] = settings.provider
    if options := {option: value for option, value in settings.options.items() if option not in SAME_ANSWERS}:
        extras["options"] = options
    if headers := _headers_that_count(settings):
        extras["headers"] = hashlib.sha256(_canonical(headers).encode()).hexdigest()
    return f"{place}|{_canonical(extras)}" if extras else place


def _headers_that_count(settings: EndpointSettings) -> dict[str, str]:
    by_name = {name.lower(): value.get_secret_value() for name, value in settings.headers.items()}
    return {name: value for name, value in by_name.items() if not _PROVES_WHO_ASKS.search(name)}


def _canonical(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), sort_keys=True)
