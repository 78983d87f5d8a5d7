"""From an HTTP answer that is no answer to its fault: the one place that reads status codes.

Messages of these errors are written here and never taken from the answer: providers quote prompts and parts of keys
in theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from domain.errors import FaultClass, ProviderError
from resources.llm.providers.rate_limit_headers import pause_asked_s

_BY_STATUS: dict[int, FaultClass] = {
    401: FaultClass.AUTHENTICATION,
    402: FaultClass.AUTHENTICATION,
    403: FaultClass.AUTHENTICATION,
    408: FaultClass.TIMEOUT,
    429: FaultClass.RATE_LIMITED,
    504: FaultClass.TIMEOUT,  # a gateway gave up on a model that may have answered, and billed
    524: FaultClass.TIMEOUT,  # the same, from Cloudflare
}

_BY_CODE: dict[str, FaultClass] = {
    "insufficient_quota": FaultClass.AUTHENTICATION,  # sent as 429, but no wait mends an empty account
    "billing_hard_limit_reached": FaultClass.AUTHENTICATION,
    "content_filter": FaultClass.REFUSED,
    "content_policy_violation": FaultClass.REFUSED,
}

_MEND_BY_CODE: dict[str, str] = {
    "billing_hard_limit_reached": "raise the provider account's limit.",
    "context_length_exceeded": "shorten the prompt or use fewer demonstrations.",
    "insufficient_quota": "top up the provider account.",
    "invalid_api_key": "check the endpoint's api_key.",
    "model_not_found": "check the model's name and what the key may use.",
    "unsupported_parameter": "remove it from `extra`, or set the option max_tokens_field to max_completion_tokens.",
}

_MEND_BY_FAULT: dict[FaultClass, str] = {
    FaultClass.AUTHENTICATION: "check the endpoint's api_key and what it may use.",
    FaultClass.INVALID_REQUEST: "check base_url (it ends in /v1 for most endpoints), the model's name and parameters.",
}


def status_error(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> ProviderError:
    """The error for an HTTP answer outside 2xx.

    Args:
        headers: case-insensitive, as aiohttp gives them.
        now_s: seconds since the epoch; dates in headers count from it.
    """
    try:
        told: Any = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    return refusal(status, told, pause_asked_s(headers, now_s))


def refusal(status: int, told: Any, retry_after_s: float | None = None) -> ProviderError:
    """The error for a status outside 2xx and the JSON that came with it."""
    code = _known_code(told)
    fault = _BY_CODE.get(code) or _BY_STATUS.get(status) or _by_range(status)
    named = f" ({code})" if code else ""
    return ProviderError(
        f"the provider answered HTTP {status}{named}",
        fault=fault,
        status_code=status,
        retry_after_s=retry_after_s,
        mend=_MEND_BY_CODE.get(code) or _MEND_BY_FAULT.get(fault),
    )


def _by_range(status: int) -> FaultClass:
    return FaultClass.SERVER if status >= 500 else FaultClass.INVALID_REQUEST


def _known_code(told: Any) -> str:
    # Only codes on the list are repeated: the field is the provider's free text.
    error = told.get("error") if isinstance(told, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and (code in _BY_CODE or code in _MEND_BY_CODE) else ""
