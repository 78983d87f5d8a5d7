"""Batches: what they are, who works on them, how they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain.batch import identity
from domain.batch.options import BatchOptions
from domain.batch.states import BatchState, PauseKind
from domain.errors import ConflictError, InputError, NotFoundError
from domain.identity import short_id
from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import AnySelect, as_row, read, select_record
from resources.database.tables import BatchRow

SHORTEST_REFERENCE = 6


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch.

    Attributes:
        pause_kind, reason: why it is paused or was cancelled.
        resume_at: until then a batch that goes on by itself is left alone.
        request: `pause` or `cancel`, asked of the worker that has it.
        source: where the rows came from, for people; never a credential.
        rows_id: SHA-256 of the rows.
        edition: 0, or which repetition of the same rows was asked for.
        parent_id: the batch whose dead letters these rows are.
        rows: all of them; `rejected` of them cannot be used.
        prompt_version_id: pinned when it was started, or named by a person before.
        worker: who has it, as `WorkerMark.text`; None where nobody has.
        claim: what a worker's writes must name.
        active_s: seconds that workers spent on it, in all.
        repeats: calls that were paid for and lost with a killed worker, one by one.
        summary: counts and sums at its end.
    """

    id: str
    task: str
    state: str
    pause_kind: str | None
    reason: str | None
    resume_at: datetime | None
    request: str | None
    source: dict[str, Any]
    options: dict[str, Any]
    rows_id: str
    edition: int
    parent_id: str | None
    rows: int
    rejected: int
    chunks: int
    prompt_version_id: str | None
    worker: str | None
    claim: int
    claimed_at: datetime | None
    lease_until: datetime | None
    active_s: float
    repeats: list[dict[str, Any]]
    summary: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def settings(self) -> BatchOptions:
        """How it is worked on."""
        return BatchOptions.model_validate(self.options)

    @property
    def named_prompt_id(self) -> str | None:
        """The prompt version that a person named when it was added, which its id tells; None: production was pinned."""
        named = identity.batch_id(
            self.task,
            self.rows_id,
            edition=self.edition,
            prompt_version_id=self.prompt_version_id,
            parent_id=self.parent_id,
        )
        return self.prompt_version_id if named == self.id else None

    @property
    def folder(self) -> str:
        """Below the storage root."""
        return f"batches/{self.id}"


def add(session: Session, record: BatchRecord) -> bool:
    """Store a new batch; whether it was not there yet."""
    return insert_ignore(session, BatchRow, [as_row(record)]) == 1


def find(session: Session, batch_id: str) -> BatchRecord | None:
    """The batch with exactly that id."""
    row = session.execute(_select().where(BatchRow.id == batch_id)).one_or_none()
    return None if row is None else read(BatchRecord, row)


def get(session: Session, reference: str) -> BatchRecord:
    """The batch named by its id, or by at least 6 first digits of it.

    Raises:
        NotFoundError: there is none.
        InputError: it is the beginning of several ids, or too short.
    """
    if len(reference) < SHORTEST_REFERENCE:
        raise InputError(f"{reference!r} is too short for a batch's id.", mend="give its first 6 digits or more.")
    query = _select().where(BatchRow.id >= reference, BatchRow.id < reference + "g").limit(2)
    found = [read(BatchRecord, row) for row in session.execute(query)]
    if not found:
        raise NotFoundError(f"There is no batch {reference!r}.", mend="See `promptory batch list`.")
    if len(found) > 1:
        raise InputError(f"{reference!r} is the beginning of several batches' ids.", mend="give more digits.")
    return found[0]


def list_batches(
    session: Session, *, task: str | None = None, states: Sequence[str] | None = None, limit: int | None = None
) -> list[BatchRecord]:
    """Batches, newest first."""
    query = _select().order_by(BatchRow.created_at.desc(), BatchRow.id).limit(limit)
    if task is not None:
        query = query.where(BatchRow.task == task)
    if states is not None:
        query = query.where(BatchRow.state.in_(states))
    return [read(BatchRecord, row) for row in session.execute(query)]


def open_batches(session: Session, task: str | None = None) -> list[BatchRecord]:
    """Batches that are not at their end, oldest first; of one task, or of all."""
    final = [state.value for state in BatchState if state.is_final]
    query = _select().where(BatchRow.state.not_in(final)).order_by(BatchRow.created_at, BatchRow.id)
    if task is not None:
        query = query.where(BatchRow.task == task)
    return [read(BatchRecord, row) for row in session.execute(query)]


def take(
    session: Session, record: BatchRecord, worker: str, now: datetime, lease_until: datetime
) -> BatchRecord | None:
    """Make `worker` the one that has the batch, if nobody took it or asked anything of its worker since it was read.

    The batch as it is then; None where somebody was faster.
    """
    done = session.execute(
        update(BatchRow)
        .where(
            BatchRow.id == record.id,
            BatchRow.claim == record.claim,
            BatchRow.state == record.state,
            BatchRow.request.is_(None),
        )
        .values(
            state=BatchState.RUNNING.value,
            pause_kind=None,
            reason=None,
            resume_at=None,
            worker=worker,
            claim=record.claim + 1,
            claimed_at=now,
            lease_until=lease_until,
            started_at=record.started_at or now,
        )
        .returning(BatchRow.id)
        .execution_options(synchronize_session=False)
    )
    return None if done.one_or_none() is None else find(session, record.id)


def lock_claimed(session: Session, batch_id: str, claim: int) -> BatchRecord:
    """A batch its worker still has, as it stays until the transaction ends.

    Raises:
        ConflictError: another worker has taken it over.
    """
    mine = BatchRow.id == batch_id, BatchRow.claim == claim, BatchRow.worker.is_not(None)
    row = session.execute(_select().where(*mine).with_for_update()).one_or_none()
    if row is None:
        raise taken_over(batch_id)
    return read(BatchRecord, row)


def change_claimed(session: Session, batch_id: str, claim: int, **values: Any) -> None:
    """Set `values` on a batch its worker still has.

    Raises:
        ConflictError: another worker has taken it over.
    """
    done = session.execute(
        update(BatchRow)
        .where(BatchRow.id == batch_id, BatchRow.claim == claim, BatchRow.worker.is_not(None))
        .values(**values)
        .returning(BatchRow.id)
        .execution_options(synchronize_session=False)
    )
    if done.one_or_none() is None:
        raise taken_over(batch_id)


def require_claims(session: Session, claims: Mapping[str, int]) -> None:
    """Return only if every batch is still its worker's; they stay so until the transaction ends.

    Raises:
        ConflictError: another worker has taken one over.
    """
    query = select(BatchRow.id, BatchRow.claim).where(BatchRow.id.in_(claims)).order_by(BatchRow.id)
    query = query.with_for_update(read=True)
    held: dict[str, int] = {row.id: row.claim for row in session.execute(query)}
    for batch_id, claim in claims.items():
        if held.get(batch_id) != claim:
            raise taken_over(batch_id)


def renew(session: Session, worker: str, lease_until: datetime) -> dict[str, tuple[int, str | None]]:
    """Prolong the worker's leases; by batch, its claim and what a person asks of it."""
    # Locked in the order in which `require_claims` locks them: else the two could wait for each other.
    mine = select(BatchRow.id).where(BatchRow.worker == worker).order_by(BatchRow.id).with_for_update()
    session.execute(mine).all()
    session.execute(update(BatchRow).where(BatchRow.worker == worker).values(lease_until=lease_until))
    rows = session.execute(select(BatchRow.id, BatchRow.claim, BatchRow.request).where(BatchRow.worker == worker))
    return {row.id: (row.claim, row.request) for row in rows}


def ask(session: Session, record: BatchRecord, request: str) -> BatchRecord | None:
    """Ask the worker that has the batch for something; None where it changed hands or was asked else meanwhile."""
    done = session.execute(
        update(BatchRow)
        .where(
            BatchRow.id == record.id,
            BatchRow.claim == record.claim,
            BatchRow.worker.is_not(None),
            BatchRow.request.is_not_distinct_from(record.request),
        )
        .values(request=request)
        .returning(BatchRow.id)
        .execution_options(synchronize_session=False)
    )
    return None if done.one_or_none() is None else find(session, record.id)


def rest(
    session: Session, record: BatchRecord, state: BatchState, kind: PauseKind | None, reason: str, now: datetime
) -> BatchRecord | None:
    """Pause or cancel a batch that no living worker has; as it is then, None where somebody took it meanwhile."""
    done = session.execute(
        update(BatchRow)
        .where(BatchRow.id == record.id, BatchRow.claim == record.claim, BatchRow.state == record.state)
        .values(
            state=state.value,
            pause_kind=None if kind is None else kind.value,
            reason=reason or None,
            request=None,
            worker=None,
            lease_until=None,
            claim=record.claim + 1,
            finished_at=now if state.is_final else None,
        )
        .returning(BatchRow.id)
        .execution_options(synchronize_session=False)
    )
    return None if done.one_or_none() is None else find(session, record.id)


def newest_edition(session: Session, task: str, rows_id: str) -> int | None:
    """The highest edition there is of these rows; None where there is no such batch."""
    query = select(BatchRow.edition).where(BatchRow.task == task, BatchRow.rows_id == rows_id)
    return max(session.scalars(query), default=None)


def taken_over(batch_id: str) -> ConflictError:
    """What a worker is told that no longer has a batch."""
    return ConflictError(
        f"Batch {short_id(batch_id)} was taken over by another worker.",
        mend="Nothing to do: that one goes on with it. A worker that stands still for longer than its lease loses it.",
    )


def _select() -> AnySelect:
    return select_record(BatchRow, BatchRecord)
