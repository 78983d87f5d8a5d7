"""A worker lets a batch go that has not come to its end: it rests, or waits for others, for whoever comes next."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.batch.states import BatchState, PauseKind
from domain.errors import ConflictError
from resources.batch_inference.stopping import StopReason, asked_for
from resources.database.repositories import batches
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database

RETRY_AFTER = {PauseKind.BUDGET: timedelta(hours=1), PauseKind.PROVIDER: timedelta(minutes=10)}
"""How long a batch rests that may go on by itself, but not at once."""


def let_go(database: Database, batch: BatchRecord, reason: StopReason, active_s: float, now: datetime) -> BatchRecord:
    """Pause or cancel a claimed batch, as its worker has reason to or a person asked meanwhile. Blocks.

    Args:
        active_s: seconds that workers spent on it, in all.

    Raises:
        ConflictError: another worker has it.
        PromptoryError: the one that ended the work, if it was one.
        DatabaseUnavailableError: as `Database.session`.
    """
    if isinstance(reason.error, ConflictError):
        raise reason.error
    released = _release(database, batch, reason, active_s, now)
    if reason.error is not None:
        raise reason.error
    return released


def let_wait(database: Database, batch: BatchRecord, active_s: float, now: datetime) -> BatchRecord:
    """Leave a claimed batch to those who have its rows, unless a person asked for something else meanwhile. Blocks.

    Raises:
        ConflictError, DatabaseUnavailableError: as `let_go`.
    """
    return _release(database, batch, None, active_s, now)


def _release(
    database: Database, batch: BatchRecord, reason: StopReason | None, active_s: float, now: datetime
) -> BatchRecord:
    with database.session() as session:
        asked = asked_for(batches.lock_claimed(session, batch.id, batch.claim).request)
        end = asked or reason  # a person's word goes before the worker's, which may not have heard it yet
        values: dict[str, object] = {"state": BatchState.WAITING.value}
        if end is not None:
            again = None if end.kind is None else RETRY_AFTER.get(end.kind)
            values = {
                "state": end.state.value,
                "pause_kind": None if end.kind is None else end.kind.value,
                "reason": end.text,
                "resume_at": None if again is None else now + again,
                "finished_at": now if end.state.is_final else None,
            }
        batches.change_claimed(
            session,
            batch.id,
            batch.claim,
            active_s=active_s,
            request=None,
            worker=None,
            lease_until=None,
            **values,
        )
        return batches.get(session, batch.id)
