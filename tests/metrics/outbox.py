"""Rows as the core's outbox hands them to the ledger."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import orjson

from resources.database.repositories import ledger_days
from resources.llm.ledger_database import open_ledger_database

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def record(attempt_id: str, call_id: str, cost: int, started_at: datetime, finished_at: datetime) -> dict[str, Any]:
    """A record of the outbox: an attempt whose process was killed."""
    return {
        "attempt_id": attempt_id,
        "call_id": call_id,
        "number": 1,
        "model": "openai/gpt-4o-mini",
        "charge": "ambiguous",
        "outcome": "lost",
        "reserved_nano_usd": cost,
        "reserved_input_tokens": 10,
        "reserved_output_tokens": 5,
        "cost_nano_usd": cost,
        "input_tokens": 0,
        "output_tokens": 0,
        "cached_input_tokens": 0,
        "price": None,
        "scopes": ["day:2026-11-19", "task:support_triage"],
        "provider_request_id": None,
        "started_at": started_at.timestamp(),
        "finished_at": finished_at.timestamp(),
        "latency_s": 0.0,
        "call": {
            "call_id": call_id,
            "purpose": "batch",
            "task": "support_triage",
            "prompt_version_id": None,
            "step": None,
            "dataset_version_id": None,
            "row_id": None,
            "run_id": None,
            "batch_id": None,
            "experiment_id": None,
            "unit_id": None,
            "requested_model": "openai/gpt-4o-mini",
            "started_at": started_at.timestamp(),
        },
    }


def write_late(url: str, *records: dict[str, Any]) -> None:
    """As the core writes what a dead process left behind."""
    database = open_ledger_database(url)
    try:
        database.write([], [orjson.dumps(one).decode() for one in records])
    finally:
        database.dispose()


def changed(ledger: Any) -> list[date]:
    with ledger.database.session(read_only=True) as session:
        return ledger_days.changed_days(session)
