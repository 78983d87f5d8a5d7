"""Which worker has which batch: claimed in the database, prolonged by a heartbeat, taken over when it falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from domain.batch.states import BatchState
from domain.errors import ConflictError, PromptoryError
from domain.identity import short_id
from resources.batch_inference.marks import WorkerMark
from resources.batch_inference.stopping import Stop, asked_for
from resources.database.repositories import batches
from resources.database.repositories.batches import BatchRecord, taken_over
from resources.database.session import Database

LEASE_S = 30.0


@dataclass(frozen=True, slots=True)
class Held:
    """A batch this worker has, and how it is told to stop."""

    claim: int
    stop: Stop


class Leases:
    """The batches of one worker. Two workers never have one batch: what either writes names its claim."""

    def __init__(
        self,
        database: Database,
        mark: WorkerMark,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        lease_s: float = LEASE_S,
    ) -> None:
        self.mark = mark
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._lease = timedelta(seconds=lease_s)
        self._held: dict[str, Held] = {}

    def take(self, batch_id: str, stop: Stop) -> BatchRecord:
        """Claim a batch that nobody works on, or whose worker is dead; the batch as it is then. Blocks.

        What a person asked of the dead worker is done instead: then the batch rests, and nobody has it.

        Raises:
            NotFoundError: there is no such batch.
            ConflictError: another worker has it, or it has come to its end.
        """
        now = self._clock()
        with self._database.session() as session:
            record = batches.get(session, batch_id)
            require_free(record, now)
            asked = asked_for(record.request)
            if asked is None:
                taken = batches.take(session, record, self.mark.text, now, now + self._lease)
            else:
                taken = batches.rest(session, record, asked.state, asked.kind, asked.text, now)
        if taken is None:
            raise taken_over(batch_id)
        if taken.worker is None:
            return taken
        self._held[taken.id] = Held(taken.claim, stop)
        return taken

    def drop(self, batch_id: str) -> None:
        """Prolong it no more."""
        self._held.pop(batch_id, None)

    async def keep_alive(self) -> None:
        """Prolong all leases until cancelled, and pass on what people ask for."""
        while True:
            await self._sleep(self._lease.total_seconds() / 5)
            held = dict(self._held)  # one that is claimed while this looks is not missed
            if not held:
                continue
            try:
                seen = await asyncio.to_thread(self._renew)
            except (PromptoryError, SQLAlchemyError):
                continue  # what is written meanwhile names the claim, so that a lost lease is noticed there
            _pass_on(held, seen)

    def _renew(self) -> dict[str, tuple[int, str | None]]:
        with self._database.session() as session:
            return batches.renew(session, self.mark.text, self._clock() + self._lease)


def _pass_on(held: dict[str, Held], seen: dict[str, tuple[int, str | None]]) -> None:
    for batch_id, one in held.items():
        claim, request = seen.get(batch_id, (None, None))
        if claim != one.claim:
            one.stop.fail(taken_over(batch_id))
        elif (asked := asked_for(request)) is not None:
            one.stop.obey(asked)


def is_free(record: BatchRecord, now: datetime) -> bool:
    """Whether a worker may take the batch: nobody has it, or whoever had it is dead or has been silent too long."""
    if BatchState(record.state).is_final:
        return False
    if record.worker is None:
        return True
    silent = record.lease_until is None or record.lease_until < now
    return silent or WorkerMark.parse(record.worker).is_gone()


def require_free(record: BatchRecord, now: datetime) -> None:
    """Return only if a worker may take the batch.

    Raises:
        ConflictError: another worker has it, or it has come to its end.
    """
    if is_free(record, now):
        return
    name = short_id(record.id)
    if record.worker is None:
        raise ConflictError(f"Batch {name} is {record.state}.", mend=f"See `promptory batch show {name}`.")
    shown = WorkerMark.parse(record.worker).shown
    raise ConflictError(
        f"Batch {name} is being worked on by {shown}.",
        mend=f"Watch it: `promptory batch show {name}`. A dead worker's batch is free after {LEASE_S:.0f} s.",
    )
