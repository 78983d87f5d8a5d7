"""Row outcomes as bytes, for the table of answers."""

from __future__ import annotations

import json
from typing import Any

import orjson

from domain.batch.outcome import RowOutcome
from domain.batch.states import RowStatus

_BY_JSON = b" "
"""Begins what orjson could not write; orjson never writes a space."""


def encode(outcome: RowOutcome) -> bytes:
    """The outcome as JSON."""
    values = [
        outcome.status.value,
        outcome.reason,
        outcome.text,
        outcome.value,
        outcome.call_id,
        outcome.call_ids,
        outcome.model,
        outcome.cost_nano_usd,
        outcome.input_tokens,
        outcome.output_tokens,
        outcome.latency_s,
        outcome.cached,
    ]
    try:
        return orjson.dumps(values)
    except TypeError:
        # Half a surrogate pair in an answer, or a number of more than 64 bits: rare, and paid for all the same.
        return _BY_JSON + json.dumps(values).encode()


def decode(data: bytes) -> RowOutcome:
    """What `encode` wrote."""
    # orjson would read a number of more than 64 bits as a float.
    values: list[Any] = json.loads(data) if data.startswith(_BY_JSON) else orjson.loads(data)
    status, reason, text, value, call_id, call_ids, *rest = values
    return RowOutcome(RowStatus(status), reason, text, value, call_id, tuple(call_ids), *rest)
