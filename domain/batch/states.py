"""In which states batches, chunks and rows are, and what a row's answer is worth."""

from __future__ import annotations

from enum import StrEnum


class BatchState(StrEnum):
    """Where a batch stands.

    `running` is a claim with a lease: a worker that died leaves it behind, and the next one takes it over. `waiting`
    means that others have some of its chunks (a provider's batch job): no worker is needed until they come back.
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Nothing will change any more."""
        return self in (BatchState.DONE, BatchState.CANCELLED)


class ChunkState(StrEnum):
    """Where a chunk stands: `open` for this worker to answer, `submitted` elsewhere, or `done` (its results stand)."""

    OPEN = "open"
    SUBMITTED = "submitted"
    DONE = "done"


class RowStatus(StrEnum):
    """What became of a row.

    ok: answered, and the answer meets the prompt's output contract.
    fallback: no model answered; the text is the canned one of the prompt's family.
    invalid: answered and paid for, and the answer breaks its contract.
    failed: no answer; the provider refused the request or gave up.
    rejected: the row itself could not be used, so nobody was asked.
    """

    OK = "ok"
    FALLBACK = "fallback"
    INVALID = "invalid"
    FAILED = "failed"
    REJECTED = "rejected"


class PauseKind(StrEnum):
    """Why a batch rests, which says who lets it go on.

    A person's pause needs a person; a spent budget is tried again after a while; an interrupted worker's batch goes on
    as soon as anybody drains the task; `provider` (its batch API does not answer) is tried again after a while;
    `quarantine` (a provider's job that may exist and cannot be looked up) needs a person's word; `failures` and
    `refused` (a key, a model's name) are for a person to mend.
    """

    PERSON = "person"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"
    PROVIDER = "provider"
    QUARANTINE = "quarantine"
    FAILURES = "failures"
    REFUSED = "refused"

    @property
    def ends_by_itself(self) -> bool:
        """Whether draining the task may go on with the batch, nobody having said so."""
        return self in (PauseKind.BUDGET, PauseKind.INTERRUPTED, PauseKind.PROVIDER)


def worth_asking_again(status: RowStatus, *, retry_invalid: bool) -> bool:
    """Whether another round asks for a row of this status."""
    if status in (RowStatus.FAILED, RowStatus.FALLBACK):
        return True
    return status is RowStatus.INVALID and retry_invalid
