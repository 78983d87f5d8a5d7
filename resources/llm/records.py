"""The ledger records an attempt leaves in the state store, complete enough to outlive the process that wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import orjson

from domain.pricing import Usage
from resources.llm.state.protocol import Charge
from resources.llm.types import CallContext

LOST = "lost"
_NO_USAGE = Usage()

LINEAGE_FIELDS = (
    "purpose",
    "task",
    "prompt_version_id",
    "step",
    "dataset_version_id",
    "row_id",
    "run_id",
    "batch_id",
    "experiment_id",
    "unit_id",
)
_LINEAGE = attrgetter(*LINEAGE_FIELDS)


@dataclass(slots=True)
class AttemptFacts:
    """What is known of an attempt before it is sent. `scopes` are budget windows, `started_at` epoch seconds.

    `reserve_tokens` are the most input and output tokens that it can use.
    """

    attempt_id: str
    call_id: str
    number: int
    model: str
    scopes: tuple[str, ...]
    reserve_nano_usd: int
    reserve_tokens: tuple[int, int]
    price: dict[str, Any] | None
    owner: str
    started_at: float
    lineage: dict[str, Any]


@dataclass(slots=True)
class Ending:
    """How an attempt ended: its charge, and what came back."""

    outcome: str
    charge: Charge
    cost_nano_usd: int
    usage: Usage = _NO_USAGE
    provider_request_id: str | None = None
    latency_s: float = 0.0


def lineage_values(context: CallContext) -> tuple[Any, ...]:
    """The values of `LINEAGE_FIELDS`."""
    return _LINEAGE(context)


def lineage_of(call_id: str, requested_model: str, context: CallContext, started_at: float) -> dict[str, Any]:
    """The call's own ledger columns; the records of all its attempts carry them."""
    columns: dict[str, Any] = dict(zip(LINEAGE_FIELDS, _LINEAGE(context), strict=True))
    columns["call_id"] = call_id
    columns["requested_model"] = requested_model
    columns["started_at"] = started_at
    return columns


def attempt_id_of(call_id: str, number: int) -> str:
    """The id of a call's n-th attempt."""
    return f"{call_id}-{number}"


def call_of(attempt_id: str) -> str:
    """The id of the call that made an attempt."""
    return attempt_id.rpartition("-")[0]


def lost_record(facts: AttemptFacts) -> str:
    """The record to book if the process dies before it can say how the attempt ended."""
    return attempt_record(facts, Ending(LOST, "ambiguous", facts.reserve_nano_usd), facts.started_at)


def attempt_record(facts: AttemptFacts, ending: Ending, finished_at: float) -> str:
    """The record of an attempt that ended at epoch second `finished_at`: its ledger columns, its owner, its call."""
    return orjson.dumps(
        {
            "attempt_id": facts.attempt_id,
            "call_id": facts.call_id,
            "number": facts.number,
            "model": facts.model,
            "charge": ending.charge,
            "outcome": ending.outcome,
            "reserved_nano_usd": facts.reserve_nano_usd,
            "reserved_input_tokens": facts.reserve_tokens[0],
            "reserved_output_tokens": facts.reserve_tokens[1],
            "cost_nano_usd": ending.cost_nano_usd,
            "input_tokens": ending.usage.input_tokens,
            "output_tokens": ending.usage.output_tokens,
            "cached_input_tokens": ending.usage.cached_input_tokens,
            "price": facts.price,
            "scopes": facts.scopes,
            "provider_request_id": ending.provider_request_id,
            "started_at": facts.started_at,
            "finished_at": finished_at,
            "latency_s": ending.latency_s,
            "owner": facts.owner,
            "call": facts.lineage,
        }
    ).decode()
