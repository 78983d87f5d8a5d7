"""Reading the ledger: calls, their attempts, and sums of money. Nothing here writes.

Money is integer nano-USD; `spent` is what was certainly billed (settled and overrun attempts), `ambiguous` what may
have been. A call made by a process that was killed may have attempts without a call row: its task and purpose are
unknown, its money is counted all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from domain.errors import NotFoundError
from resources.database.repositories.records import Record, read, select_record
from resources.database.session import Database
from resources.database.tables import AttemptRow, CallRow, InteractionRow

BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One request through the execution core, as the ledger holds it. Latency is in seconds."""

    call_id: str
    origin_call_id: str | None
    purpose: str
    task: str | None
    prompt_version_id: str | None
    step: str | None
    dataset_version_id: str | None
    row_id: str | None
    run_id: str | None
    batch_id: str | None
    experiment_id: str | None
    unit_id: str | None
    requested_model: str
    model: str | None
    status: str
    reason: str | None
    cached: bool
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    latency_s: float
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt with its own money, the price it used and the scopes it was charged to.

    The reserved tokens are None for attempts made before they were kept.
    """

    attempt_id: str
    call_id: str
    number: int
    model: str
    charge: str
    outcome: str
    reserved_nano_usd: int
    reserved_input_tokens: int | None
    reserved_output_tokens: int | None
    cost_nano_usd: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    price: dict[str, Any] | None
    scopes: list[str]
    provider_request_id: str | None
    started_at: datetime
    finished_at: datetime
    latency_s: float


def find_call(session: Session, call_id: str) -> CallRecord | None:
    """The call with exactly that id."""
    row = session.execute(select_record(CallRow, CallRecord).where(CallRow.call_id == call_id)).one_or_none()
    return None if row is None else read(CallRecord, row)


def get_call(session: Session, call_id: str) -> CallRecord:
    """The call with exactly that id.

    Raises:
        NotFoundError: the ledger has no such call.
    """
    found = find_call(session, call_id)
    if found is None:
        raise NotFoundError(f"The ledger has no call {call_id!r}.", mend="Check the id; it is written in full.")
    return found


def attempts_of_call(session: Session, call_id: str) -> list[AttemptRecord]:
    """The attempts of a call, in the order they were made."""
    query = select_record(AttemptRow, AttemptRecord).where(AttemptRow.call_id == call_id)
    return [read(AttemptRecord, row) for row in session.execute(query.order_by(AttemptRow.number))]


def calls_of_row(session: Session, task: str, row_id: str) -> list[CallRecord]:
    """Every call that a dataset row of the task went into, oldest first; those of batches and experiments have none."""
    query = select_record(CallRow, CallRecord).where(
        CallRow.task == task, CallRow.row_id == row_id, CallRow.batch_id.is_(None), CallRow.experiment_id.is_(None)
    )
    return [read(CallRecord, row) for row in session.execute(query.order_by(CallRow.finished_at, CallRow.call_id))]


def calls_of_run(session: Session, run_id: str) -> list[CallRecord]:
    """Every call of an optimization run, oldest first."""
    query = select_record(CallRow, CallRecord).where(CallRow.run_id == run_id)
    return [read(CallRecord, row) for row in session.execute(query.order_by(CallRow.finished_at, CallRow.call_id))]


def calls_of_experiment(session: Session, experiment_id: str) -> list[CallRecord]:
    """Every call of a live experiment, oldest first."""
    query = select_record(CallRow, CallRecord).where(CallRow.experiment_id == experiment_id)
    return [read(CallRecord, row) for row in session.execute(query.order_by(CallRow.finished_at, CallRow.call_id))]


def unrecorded_calls(session: Session, experiment_id: str, *, before: datetime) -> list[CallRecord]:
    """The answered calls of an experiment, finished `before` a time, whose request is no interaction; oldest first."""
    recorded = select(InteractionRow.id).where(
        InteractionRow.experiment == experiment_id, InteractionRow.id == CallRow.row_id
    )
    query = select_record(CallRow, CallRecord).where(
        CallRow.experiment_id == experiment_id,
        CallRow.status == "ok",
        CallRow.finished_at < before,
        ~recorded.exists(),
    )
    return [read(CallRecord, row) for row in session.execute(query.order_by(CallRow.finished_at, CallRow.call_id))]


def ambiguous_attempts(
    session: Session, *, since: datetime | None = None, until: datetime | None = None
) -> list[AttemptRecord]:
    """The attempts whose bill is unknown, one by one, oldest first, that finished in [since, until)."""
    query = select_record(AttemptRow, AttemptRecord).where(AttemptRow.charge == "ambiguous", *finished(since, until))
    rows = session.execute(query.order_by(AttemptRow.finished_at, AttemptRow.attempt_id))
    return [read(AttemptRecord, row) for row in rows]


def calls_of_day(database: Database, day: date, *, batch_rows: int = BATCH_ROWS) -> Iterator[list[CallRecord]]:
    """The calls that finished on a UTC day, in batches by finish time. No transaction stays open between batches."""
    return _batches(database, CallRow, CallRecord, CallRow.call_id, day, batch_rows)


def attempts_of_day(database: Database, day: date, *, batch_rows: int = BATCH_ROWS) -> Iterator[list[AttemptRecord]]:
    """The attempts that finished on a UTC day, like `calls_of_day`."""
    return _batches(database, AttemptRow, AttemptRecord, AttemptRow.attempt_id, day, batch_rows)


def finished(since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """The conditions for attempts that finished in [since, until); None leaves that end open."""
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(AttemptRow.finished_at >= since)
    if until is not None:
        conditions.append(AttemptRow.finished_at < until)
    return conditions


def _batches(
    database: Database, table: Any, record: type[Record], key: Any, day: date, batch_rows: int
) -> Iterator[list[Record]]:
    midnight = datetime.combine(day, time(), tzinfo=UTC)
    position = (midnight, "")
    while True:
        query = (
            select_record(table, record)
            .add_columns(table.finished_at, key)
            .where(tuple_(table.finished_at, key) > position, table.finished_at < midnight + timedelta(days=1))
            .order_by(table.finished_at, key)
            .limit(batch_rows)
        )
        with database.session(read_only=True) as session:
            rows = session.execute(query).all()
        if rows:
            yield [record(*row[:-2]) for row in rows]
        if len(rows) < batch_rows:
            return
        position = (rows[-1][-2], rows[-1][-1])
