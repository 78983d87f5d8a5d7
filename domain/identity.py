"""Content addressing: one canonical text per value, and its SHA-256."""

from __future__ import annotations

import hashlib
import json
from typing import Any

SHORT_ID_LENGTH = 12


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, UTF-8 kept, NaN refused.

    Raises:
        ValueError: `value` holds NaN or an infinity.
        TypeError: `value` holds something JSON cannot say.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(value: Any) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `value`.

    Raises:
        ValueError: `value` holds NaN or an infinity.
        TypeError: `value` holds something JSON cannot say.
    """
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def id_for_task(shared_id: str, task: str, owner: str | None) -> str:
    """`shared_id`, a hash of what is asked, or where that names another task's record already, one of `task`'s own.

    Args:
        owner: whose the stored record of that id is; None where there is none.
    """
    return shared_id if owner in (None, task) else content_id([shared_id, task])


def short_id(full_id: str) -> str:
    """The first 12 digits, for people to read; never used as a key."""
    return full_id[:SHORT_ID_LENGTH]
