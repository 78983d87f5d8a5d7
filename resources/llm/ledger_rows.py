"""Ledger rows as the database takes them, from events and from the records of attempts."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from resources.llm.events import CallFinished
from resources.llm.records import LINEAGE_FIELDS, LOST

_MAX_REQUEST_ID = 200
_ATTEMPT_COLUMNS = (
    "attempt_id",
    "call_id",
    "number",
    "model",
    "charge",
    "outcome",
    "reserved_nano_usd",
    "cost_nano_usd",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "price",
    "scopes",
    "provider_request_id",
    "latency_s",
)
# Records that an earlier version left in an outbox do not have these.
_LATER_COLUMNS = ("reserved_input_tokens", "reserved_output_tokens")


def call_row(event: CallFinished) -> dict[str, Any]:
    """The `calls` row of a finished call."""
    row: dict[str, Any] = {name: getattr(event.context, name) for name in LINEAGE_FIELDS}
    row.update(
        call_id=event.call_id,
        origin_call_id=event.origin_call_id,
        requested_model=event.requested_model,
        model=event.model,
        status=event.status,
        reason=event.reason,
        cached=event.cached,
        attempts=event.attempts,
        input_tokens=event.usage.input_tokens,
        output_tokens=event.usage.output_tokens,
        cost_nano_usd=event.cost_nano_usd,
        latency_s=event.latency_s,
        started_at=_moment(event.started_at),
        finished_at=_moment(event.finished_at),
    )
    return row


def parse_record(record: str) -> dict[str, Any]:
    """A record of the outbox, as it was written."""
    return json.loads(record)


def attempt_row(record: dict[str, Any]) -> dict[str, Any]:
    """The `attempts` row of one record."""
    row = {name: record[name] for name in _ATTEMPT_COLUMNS}
    row.update({name: record.get(name) for name in _LATER_COLUMNS})
    row.update(started_at=_moment(record["started_at"]), finished_at=_moment(record["finished_at"]))
    if (given := row["provider_request_id"]) is not None:
        # The provider chose it: it must not be able to make the row unstorable.
        row["provider_request_id"] = given.replace("\x00", "")[:_MAX_REQUEST_ID]
    return row


def orphan_call_row(lineage: dict[str, Any], attempts: Sequence[Any]) -> dict[str, Any]:
    """The `calls` row of a call that is not known to have ended, from its lineage and its `AttemptRow`s by number.

    Its status is `ok` if the last attempt was answered, else `lost`; should the process live, it writes the true row.
    """
    last = attempts[-1]
    answered = last.outcome == "ok"
    row: dict[str, Any] = {name: lineage[name] for name in LINEAGE_FIELDS}
    started_at = _moment(lineage["started_at"])
    row.update(
        call_id=lineage["call_id"],
        origin_call_id=None,
        requested_model=lineage["requested_model"],
        model=last.model,
        status="ok" if answered else LOST,
        reason=None if answered else last.outcome,
        cached=False,
        attempts=len(attempts),
        input_tokens=last.input_tokens,
        output_tokens=last.output_tokens,
        cost_nano_usd=sum(attempt.cost_nano_usd for attempt in attempts),
        latency_s=max(0.0, (last.finished_at - started_at).total_seconds()),
        started_at=started_at,
        finished_at=last.finished_at,
    )
    return row


def orphans(records: Iterable[dict[str, Any]], finished: Container[str]) -> dict[str, dict[str, Any]]:
    """The calls, by id, of records whose call is not among those `finished`: nobody may live to tell how it ended."""
    return {record["call_id"]: record["call"] for record in records if record["call_id"] not in finished}


def _moment(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, UTC)
