"""What a provider's headers say of its own rate limit: that nothing is left, and until when.

Three families are read: OpenAI's `x-ratelimit-remaining-requests` and `-reset-requests` (and the same for tokens),
which Azure, Groq and gateways send too; Anthropic's, which come through gateways and LiteLLM; and the IETF's draft
`RateLimit` fields in each of their spellings (draft-ietf-httpapi-ratelimit-headers, versions 3 to 10). As that draft
says, Retry-After goes before them.

The `-limit-` fields are not read: how large the limit is does not say when there is room again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRY_AFTER_MS = "retry-after-ms"
RETRY_AFTER = "retry-after"
RATE_LIMIT = "ratelimit"
_BUCKETS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
)

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h|d))+")
_BARE = re.compile(_NUMBER)
_NOTHING = re.compile("0+")
_QUOTED = re.compile(r'"[^"]*"')
_LONGEST_TEXT = 64
# A bare number this large is no wait but a moment, in seconds or milliseconds since the epoch.
_EARLIEST_EPOCH_S = 1e9
_EARLIEST_EPOCH_MS = 1e12


def pause_asked_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds in which the provider takes no further request, never negative; None where the headers do not say so.

    Retry-After and Retry-After-Ms count with any status. Of the limits of which nothing is left, the one that lasts
    longest counts; those of which something is left, and fields that cannot be read, are passed over.

    Args:
        headers: case-insensitive as aiohttp and httpx give them, or with names in lower case.
        now_s: seconds since the epoch; dates count from it.
    """
    asked = _retry_after_s(headers, now_s)
    if asked is not None:
        return asked
    return max(_exhausted(headers, now_s), default=None)


def duration_s(text: str) -> float | None:
    """Seconds of a duration such as `1s`, `6m0s`, `120ms` or `59.7`; None where `text` is none."""
    text = text.strip()
    if len(text) > _LONGEST_TEXT:
        return None
    if _BARE.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


def _retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    milliseconds = _number(headers.get(RETRY_AFTER_MS))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get(RETRY_AFTER)
    seconds = _number(text)
    return seconds if seconds is not None or text is None else _until_http_date(text, now_s)


def _exhausted(headers: Mapping[str, str], now_s: float) -> Iterator[float]:
    for remaining, reset in _BUCKETS:
        left = headers.get(remaining)
        if left is not None and _NOTHING.fullmatch(left.strip()):
            seconds = _until_reset(headers.get(reset, ""), now_s)
            if seconds is not None:
                yield seconds
    combined = headers.get(RATE_LIMIT)
    if combined is not None:
        yield from _exhausted_in(combined)


def _exhausted_in(combined: str) -> Iterator[float]:
    """`limit=10, remaining=0, reset=7` (one limit) or `"burst";r=0;t=7, "day";r=5;t=99` (one per member)."""
    text = _QUOTED.sub("", combined)
    members = [text] if "remaining" in text else text.split(",")
    for member in members:
        pairs = (piece.partition("=") for piece in re.split("[;,]", member))
        said = {name.strip().lower(): value.strip() for name, _, value in pairs}
        left, reset = said.get("remaining", said.get("r", "")), said.get("reset", said.get("t", ""))
        if _NOTHING.fullmatch(left):
            seconds = duration_s(reset)
            if seconds is not None:
                yield seconds


def _until_reset(text: str, now_s: float) -> float | None:
    seconds = duration_s(text)
    if seconds is None:
        return _until_date(text, now_s)
    if seconds >= _EARLIEST_EPOCH_MS:
        return max(seconds / 1000 - now_s, 0.0)
    return max(seconds - now_s, 0.0) if seconds >= _EARLIEST_EPOCH_S else seconds


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return max(value, 0.0) if math.isfinite(value) else None


def _until_date(rfc_3339: str, now_s: float) -> float | None:
    try:
        moment = datetime.fromisoformat(rfc_3339.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(moment.timestamp() - now_s, 0.0)
    except (ValueError, OverflowError):
        return None


def _until_http_date(text: str, now_s: float) -> float | None:
    try:
        return max(parsedate_to_datetime(text).timestamp() - now_s, 0.0)
    except (ValueError, OverflowError):
        return None
