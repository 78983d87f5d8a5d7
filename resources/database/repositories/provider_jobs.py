"""Jobs at providers' batch APIs. A job moves from state to state by compare-and-swap, so each step happens once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, literal_column, or_, select, update
from sqlalchemy.orm import Session

from domain.batch.provider_jobs import FOR_A_WORKER, HOLDING, JobState, ProviderCounts, RowReserve, unpack
from domain.batch.states import BatchState
from domain.errors import ConflictError, InputError, NotFoundError
from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import AnySelect, as_row, read, select_record
from resources.database.tables import BatchRow, ProviderJobRow

# Written out, so that the index over jobs that are not closed is known to hold whatever is asked for beside it.
_OPEN = ProviderJobRow.state != literal_column("'closed'")


@dataclass(frozen=True, slots=True)
class ProviderJob:
    """A job.

    Attributes:
        file: the uploaded requests, by the provider's name for them.
        provider_id, provider_state, counts: as the provider last said.
        rows: how many; `requests` says which, packed.
        scopes: the budget windows that hold its reserve.
        price: per token, as the ledger's lines will name it.
        direct_nano_usd: what the same rows may cost at most when asked one by one.
        cost_nano_usd: what was billed; None until it is settled, and where the provider refused the job.
        lost_nano_usd: kept beside it for requests whose bill is unknown.
        seen_at: when the provider was last asked.
    """

    id: str
    batch_id: str
    task: str
    chunk: int
    round: int
    model: str
    state: str
    file: str | None
    provider_id: str | None
    provider_state: str | None
    counts: dict[str, Any] | None
    problem: str | None
    rows: int
    requests: bytes
    scopes: list[str]
    price: dict[str, Any] | None
    reserve_nano_usd: int
    direct_nano_usd: int
    cost_nano_usd: int | None
    lost_nano_usd: int | None
    overrun: bool
    created_at: datetime
    changed_at: datetime
    seen_at: datetime | None

    @property
    def endpoint(self) -> str:
        """The endpoint that has it."""
        return self.model.partition("/")[0]

    @property
    def is_being_cancelled(self) -> bool:
        """Whether the provider has said, in its own words, that it ends the job early."""
        return "cancel" in (self.provider_state or "").lower()

    @property
    def was_tried(self) -> bool:
        """Whether its rows were asked, as far as anybody knows: it ended, and was not refused as a whole."""
        return self.cost_nano_usd is not None

    @property
    def reserves(self) -> list[RowReserve]:
        """Its rows, with what each may cost."""
        return unpack(self.requests)


def add(session: Session, job: ProviderJob) -> bool:
    """Write a job down; whether it was not there yet."""
    return insert_ignore(session, ProviderJobRow, [as_row(job)]) == 1


def move(session: Session, job: ProviderJob, state: JobState, now: datetime, **values: Any) -> ProviderJob:
    """The job in its next state, with `values` set.

    Raises:
        ConflictError: somebody else has moved it.
    """
    changed = {"state": state.value, "changed_at": now, **values}
    done = session.execute(
        update(ProviderJobRow)
        .where(
            ProviderJobRow.id == job.id,
            ProviderJobRow.state == job.state,
            ProviderJobRow.changed_at == job.changed_at,
        )
        .values(**changed)
        .returning(ProviderJobRow.id)
        .execution_options(synchronize_session=False)
    )
    if done.one_or_none() is None:
        raise ConflictError(
            f"Provider job {job.id} was led on by somebody else.", mend="Nothing to do: that one goes on with it."
        )
    return replace(job, **changed)


def see(
    session: Session, job: ProviderJob, provider_state: str, counts: ProviderCounts | None, now: datetime
) -> ProviderJob:
    """Note what the provider says of a job that it still works on."""
    told = None if counts is None else {"total": counts.total, "completed": counts.completed, "failed": counts.failed}
    values = {"provider_state": provider_state, "counts": told, "seen_at": now}
    session.execute(
        update(ProviderJobRow)
        .where(ProviderJobRow.id == job.id, ProviderJobRow.state == job.state)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return replace(job, **values)


def note_problem(session: Session, job: ProviderJob, problem: str) -> None:
    """Remember why a job does not get on; its state stays."""
    session.execute(
        update(ProviderJobRow)
        .where(ProviderJobRow.id == job.id, ProviderJobRow.state == job.state)
        .values(problem=problem)
        .execution_options(synchronize_session=False)
    )


def drop(session: Session, job: ProviderJob) -> None:
    """Forget a job of which nothing was sent."""
    session.execute(
        delete(ProviderJobRow).where(ProviderJobRow.id == job.id, ProviderJobRow.state == JobState.PLANNED.value)
    )


def of_batch(session: Session, batch_id: str) -> list[ProviderJob]:
    """All jobs of a batch, oldest first."""
    query = _select().where(ProviderJobRow.batch_id == batch_id)
    return _read(session, query.order_by(ProviderJobRow.created_at, ProviderJobRow.id))


def of_chunk(session: Session, batch_id: str, chunk: int, round_number: int) -> list[ProviderJob]:
    """The jobs of a chunk's round, oldest first."""
    query = _select().where(
        ProviderJobRow.batch_id == batch_id, ProviderJobRow.chunk == chunk, ProviderJobRow.round == round_number
    )
    return _read(session, query.order_by(ProviderJobRow.created_at, ProviderJobRow.id))


def get(session: Session, batch_id: str, reference: str) -> ProviderJob:
    """A batch's job, named by at least the first 6 digits of its id.

    Raises:
        NotFoundError, InputError: there is none, or several.
    """
    found = [job for job in of_batch(session, batch_id) if len(reference) >= 6 and job.id.startswith(reference)]
    if not found:
        raise NotFoundError(f"The batch has no provider job {reference!r}.", mend="See `promptory batch show`.")
    if len(found) > 1:
        raise InputError(f"{reference!r} is the beginning of several jobs' ids.", mend="give more digits.")
    return found[0]


def submitted(session: Session) -> list[ProviderJob]:
    """All jobs that providers work on, oldest first."""
    query = _select().where(_OPEN, ProviderJobRow.state == JobState.SUBMITTED.value)
    return _read(session, query.order_by(ProviderJobRow.created_at, ProviderJobRow.id))


def has_open(session: Session, batch_id: str) -> bool:
    """Whether any job of the batch is not closed."""
    query = select(ProviderJobRow.id).where(ProviderJobRow.batch_id == batch_id, _OPEN).limit(1)
    return session.scalar(query) is not None


def holding(session: Session) -> list[ProviderJob]:
    """All jobs whose worst case is reserved and of which the ledger knows nothing yet."""
    return _read(session, _select().where(_OPEN, ProviderJobRow.state.in_([state.value for state in HOLDING])))


def ready_batches(session: Session, lost_since: datetime, task: str | None = None) -> set[str]:
    """Batches that a worker gets on with: one of their jobs can be led on, or was put aside while they wait for it.

    Args:
        lost_since: a job whose creation a dead worker began before is one that can be led on.
    """
    waits = exists().where(BatchRow.id == ProviderJobRow.batch_id, BatchRow.state == BatchState.WAITING.value)
    query = select(ProviderJobRow.batch_id).where(
        _OPEN,
        or_(
            ProviderJobRow.state.in_([state.value for state in FOR_A_WORKER]),
            (ProviderJobRow.state == JobState.CREATING.value) & (ProviderJobRow.changed_at <= lost_since),
            (ProviderJobRow.state == JobState.QUARANTINED.value) & waits,
        ),
    )
    return set(session.scalars(query if task is None else query.where(ProviderJobRow.task == task)))


def of_ended_batches(session: Session, task: str | None = None) -> list[ProviderJob]:
    """Jobs not closed whose batch was cancelled, or done without them: what they cost is still to be booked."""
    query = (
        _select()
        .join(BatchRow, BatchRow.id == ProviderJobRow.batch_id)
        .where(BatchRow.state.in_([state.value for state in BatchState if state.is_final]), _OPEN)
    )
    if task is not None:
        query = query.where(ProviderJobRow.task == task)
    return _read(session, query.order_by(ProviderJobRow.created_at, ProviderJobRow.id))


def _select() -> AnySelect:
    return select_record(ProviderJobRow, ProviderJob)


def _read(session: Session, query: AnySelect) -> list[ProviderJob]:
    return [read(ProviderJob, row) for row in session.execute(query)]
