"""Ledger rows as the database takes them, from events and from the records of attempts: values in column order,
moments as epoch seconds.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import orjson

from resources.llm.events import CallFinished
from resources.llm.records import LINEAGE_FIELDS, LOST, lineage_values

_MAX_REQUEST_ID = 200
CALL_COLUMNS = (
    "call_id",
    "origin_call_id",
    *LINEAGE_FIELDS,
    "requested_model",
    "model",
    "status",
    "reason",
    "cached",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cost_nano_usd",
    "latency_s",
    "started_at",
    "finished_at",
)
ATTEMPT_COLUMNS = (
    "attempt_id",
    "call_id",
    "number",
    "model",
    "charge",
    "outcome",
    "reserved_nano_usd",
    "reserved_input_tokens",
    "reserved_output_tokens",
    "cost_nano_usd",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "price",
    "scopes",
    "provider_request_id",
    "started_at",
    "finished_at",
    "latency_s",
)
# Records that an earlier version left in an outbox do not have these.
_LATER_COLUMNS = ("reserved_input_tokens", "reserved_output_tokens")
_REQUEST_ID = ATTEMPT_COLUMNS.index("provider_request_id")
_IDS = attrgetter("call_id", "origin_call_id")
_ENDED = attrgetter(
    "requested_model",
    "model",
    "status",
    "reason",
    "cached",
    "attempts",
    "usage.input_tokens",
    "usage.output_tokens",
    "cost_nano_usd",
    "latency_s",
    "started_at",
    "finished_at",
)
_ATTEMPT_VALUES = itemgetter(*ATTEMPT_COLUMNS)

Row = Sequence[Any]


def call_row(event: CallFinished) -> Row:
    """The values of a finished call, as `CALL_COLUMNS`."""
    return (*_IDS(event), *lineage_values(event.context), *_ENDED(event))


def parse_record(record: str) -> dict[str, Any]:
    """A record of the outbox, as it was written."""
    return orjson.loads(record)


def attempt_row(record: dict[str, Any]) -> Row:
    """The values of one record, as `ATTEMPT_COLUMNS`."""
    if _LATER_COLUMNS[0] not in record:
        record = {**dict.fromkeys(_LATER_COLUMNS), **record}
    row = _ATTEMPT_VALUES(record)
    given = row[_REQUEST_ID]
    if given is None or (len(given) <= _MAX_REQUEST_ID and "\x00" not in given):
        return row
    # The provider chose it: it must not be able to make the row unstorable.
    return (*row[:_REQUEST_ID], given.replace("\x00", "")[:_MAX_REQUEST_ID], *row[_REQUEST_ID + 1 :])


def orphan_call_row(lineage: dict[str, Any], attempts: Sequence[Any]) -> Row:
    """The values of a call that is not known to have ended, from its lineage and its `AttemptRow`s by number.

    Its status is `ok` if the last attempt was answered, else `lost`; should the process live, it writes the true row.
    """
    last = attempts[-1]
    answered = last.outcome == "ok"
    started_at, finished_at = lineage["started_at"], last.finished_at.timestamp()
    row = {
        **lineage,
        "origin_call_id": None,
        "model": last.model,
        "status": "ok" if answered else LOST,
        "reason": None if answered else last.outcome,
        "cached": False,
        "attempts": len(attempts),
        "input_tokens": last.input_tokens,
        "output_tokens": last.output_tokens,
        "cost_nano_usd": sum(attempt.cost_nano_usd for attempt in attempts),
        "latency_s": max(0.0, finished_at - started_at),
        "started_at": started_at,
        "finished_at": finished_at,
    }
    return [row[name] for name in CALL_COLUMNS]


def orphans(records: Iterable[dict[str, Any]], finished: Container[str]) -> dict[str, dict[str, Any]]:
    """The calls, by id, of records whose call is not among those `finished`: nobody may live to tell how it ended."""
    return {record["call_id"]: record["call"] for record in records if record["call_id"] not in finished}
