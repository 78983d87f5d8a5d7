"""Messages on their way to hooks: written down before they are sent, kept until they were taken or given up."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from resources.database.repositories.records import AnySelect, as_row, read, select_record
from resources.database.tables import AlertDeliveryRow


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one hook.

    Attributes:
        id: the same at every try; what a receiver may know it again by.
        keys: what it is about, as `alerts` has it.
        message: the `Alert` as JSON values.
        next_try_at: who takes it puts it off, so that no other sends it meanwhile; None once it is taken or given up.
        problem: why it was not taken last time.
    """

    id: str
    sink: str
    kind: str
    keys: list[str]
    message: dict[str, Any]
    attempts: int
    created_at: datetime
    next_try_at: datetime | None
    delivered_at: datetime | None
    problem: str | None


def add(session: Session, delivery: Delivery) -> None:
    """Write a message down."""
    session.execute(insert(AlertDeliveryRow).values(as_row(delivery)))


def take(session: Session, sink: str, now: datetime, until: datetime) -> Delivery | None:
    """The oldest message for a hook whose time has come; nobody else gets it before `until`."""
    query = (
        _select()
        .where(AlertDeliveryRow.next_try_at <= now, AlertDeliveryRow.sink == sink)
        .order_by(AlertDeliveryRow.created_at, AlertDeliveryRow.id)
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    found = read(Delivery, row)
    mine = session.execute(
        update(AlertDeliveryRow)
        .where(AlertDeliveryRow.id == found.id, AlertDeliveryRow.next_try_at == found.next_try_at)
        .values(next_try_at=until)
        .returning(AlertDeliveryRow.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return None if mine is None else replace(found, next_try_at=until)


def delivered(session: Session, delivery_id: str, attempts: int, now: datetime) -> None:
    """It was taken."""
    _set(session, delivery_id, attempts=attempts, next_try_at=None, delivered_at=now, problem=None)


def failed(session: Session, delivery_id: str, attempts: int, next_try_at: datetime | None, problem: str) -> None:
    """It was not taken, or nobody knows; without a next try it is given up."""
    _set(session, delivery_id, attempts=attempts, next_try_at=next_try_at, problem=problem)


def give_up_others(session: Session, sinks: Collection[str], before: datetime) -> list[Delivery]:
    """Give up what waits since `before` for hooks that are not among `sinks`; what that was."""
    query = _select().where(
        AlertDeliveryRow.next_try_at.is_not(None),
        AlertDeliveryRow.created_at < before,
        AlertDeliveryRow.sink.not_in(sinks),
    )
    found = [read(Delivery, row) for row in session.execute(query)]
    for one in found:
        failed(session, one.id, one.attempts, None, "no such hook is configured")
    return found


def forget(session: Session, before: datetime) -> int:
    """Drop what was written down before a time; how many messages that were."""
    done = session.scalars(
        delete(AlertDeliveryRow).where(AlertDeliveryRow.created_at < before).returning(AlertDeliveryRow.id)
    )
    return len(done.all())


def _set(session: Session, delivery_id: str, **values: Any) -> None:
    session.execute(update(AlertDeliveryRow).where(AlertDeliveryRow.id == delivery_id).values(**values))


def _select() -> AnySelect:
    return select_record(AlertDeliveryRow, Delivery)
