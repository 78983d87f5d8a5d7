"""Jobs at providers' batch APIs: their states, which rows they hold, and the ids of the calls they make."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from domain.identity import canonical_json, content_id

GRACE_S = 60.0
"""A request to create a job may still be under way this long after whoever sent it died. Before that, that the provider
lists no such job says nothing."""

PROVIDER_BATCH_PURPOSE = "provider_batch"
"""The purpose of calls that a job made. Their latency is the job's, which may be hours: percentiles leave them out."""

MOST_JOBS_PER_ROW = 3
"""After so many jobs of one round, a row is asked directly: some provider never answers some row."""


class JobState(StrEnum):
    """Where a job stands.

    planned: written down; nothing is reserved, nothing was sent.
    held: its worst case is reserved; its requests may have been uploaded.
    creating: uploaded; the request to create it may have left.
    submitted: the provider has it, and its id there is known.
    ended: the provider is done with it, its results are to be fetched.
    settled: the ledger has its calls; what it holds of the budgets is to be given back.
    quarantined: it may exist, and the provider cannot be asked. A person decides.
    closed: nothing is left to do.
    """

    PLANNED = "planned"
    HELD = "held"
    CREATING = "creating"
    SUBMITTED = "submitted"
    ENDED = "ended"
    SETTLED = "settled"
    QUARANTINED = "quarantined"
    CLOSED = "closed"


HOLDING = (JobState.HELD, JobState.CREATING, JobState.SUBMITTED, JobState.ENDED, JobState.QUARANTINED)
"""States in which the worst case is reserved and the ledger knows nothing of it yet."""

FOR_A_WORKER = (JobState.PLANNED, JobState.HELD, JobState.ENDED, JobState.SETTLED)
"""States that a worker can lead on at once."""


class RowReserve(NamedTuple):
    """A row of a job: its number in the batch, and what its answer may cost and use at most."""

    row: int
    reserve_nano_usd: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ProviderCounts:
    """Requests of a job as the provider counts them."""

    total: int
    completed: int
    failed: int


def job_id(batch_id: str, claim: int, chunk: int, round_number: int, rows: Sequence[int]) -> str:
    """The id (32 hex digits) of the job that the worker with this claim makes of these rows.

    Another worker's is another one: what a worker does that stood still and lost the batch must not touch it.
    """
    return content_id([batch_id, claim, chunk, round_number, list(rows)])[:32]


def call_id_of(job: str, row: int, created_at: float) -> str:
    """The id of the call a job makes for a row; ids of calls grow with time, `created_at` is epoch seconds."""
    return f"{int(created_at * 1000):012x}{content_id([job, row])[:20]}"


def pack(rows: Sequence[RowReserve]) -> bytes:
    """The rows as bytes for a table."""
    return zlib.compress(canonical_json([list(row) for row in rows]).encode())


def unpack(data: bytes) -> list[RowReserve]:
    """What `pack` packed."""
    return [RowReserve(*row) for row in json.loads(zlib.decompress(data))]
