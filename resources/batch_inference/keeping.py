"""Making answers durable before their rows count as asked, many in one transaction."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from domain.errors import ConflictError, DatabaseUnavailableError, PromptoryError
from resources.database.repositories import batch_chunks, batches
from resources.database.session import Database

GATHER_S = 0.005
"""Answers of so long share a transaction, whose own cost is that of twenty rows."""

PAUSE_S = 5.0
LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer to keep: its batch, the claim of the worker that has the batch, the row, and the encoded outcome."""

    batch_id: str
    claim: int
    row: int
    outcome: bytes


Waiting = tuple[Kept, "asyncio.Future[None]"]


class AnswerKeeper:
    """Writes answers in a thread; those that come while it writes go together into the next transaction.

    Args:
        sleep: waits while the database is away: what is kept here was paid for.
    """

    def __init__(self, database: Database, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._database = database
        self._sleep = sleep
        self._pending: list[Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, answer: Kept) -> None:
        """Return once the answer is durable. Goes on when its caller is cancelled meanwhile.

        Raises:
            ConflictError: another worker has the batch.
            DatabaseUnavailableError: the database stayed away for `LONGEST_S`, or refuses the answer.
            SchemaVersionError: as `Database.session`.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((answer, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await asyncio.shield(written)

    async def close(self) -> None:
        """Wait until everything is written."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write_all(self) -> None:
        pending: list[Waiting] = []
        try:
            while self._pending:
                await asyncio.sleep(GATHER_S)
                pending, self._pending = self._pending, []
                try:
                    await self._write_patiently([answer for answer, _ in pending])
                except ConflictError as conflict:
                    await self._write_apart(pending, conflict)
                except PromptoryError as error:
                    _fail(pending, error)
                else:
                    _succeed(pending)
        except BaseException as error:
            # Else their callers would wait for ever for what nobody writes any more.
            _fail([*pending, *self._pending], error)
            self._pending = []
            raise
        finally:
            self._writing = None

    async def _write_apart(self, pending: Sequence[Waiting], conflict: ConflictError) -> None:
        """One batch after the other: that one of them has another worker is no reason to lose the others' answers."""
        by_batch: dict[str, list[Waiting]] = defaultdict(list)
        for waiting in pending:
            by_batch[waiting[0].batch_id].append(waiting)
        if len(by_batch) == 1:
            _fail(pending, conflict)
            return
        for group in by_batch.values():
            try:
                await self._write_patiently([answer for answer, _ in group])
            except PromptoryError as error:
                _fail(group, error)
            else:
                _succeed(group)

    async def _write_patiently(self, answers: Sequence[Kept]) -> None:
        waited = 0.0
        while True:
            try:
                await asyncio.to_thread(self._write, answers)
            except DatabaseUnavailableError:
                if waited >= LONGEST_S:
                    raise
                await self._sleep(PAUSE_S)
                waited += PAUSE_S
            except SQLAlchemyError as error:
                # What the driver says of it may quote the answer.
                raise DatabaseUnavailableError(
                    f"The database refuses answers: {type(getattr(error, 'orig', None) or error).__name__}.",
                    mend="See its log, and whether Promptory's tables were changed by hand.",
                ) from error
            else:
                return

    def _write(self, answers: Sequence[Kept]) -> None:
        with self._database.session() as session:
            batches.require_claims(session, {answer.batch_id: answer.claim for answer in answers})
            batch_chunks.put_answers(session, [(one.batch_id, one.row, one.outcome) for one in answers])


def _succeed(pending: Sequence[Waiting]) -> None:
    for _, written in pending:
        if not written.done():
            written.set_result(None)


def _fail(pending: Sequence[Waiting], error: BaseException) -> None:
    for _, written in pending:
        if not written.done():
            written.set_exception(error)
            written.exception()  # a caller that was cancelled will not look
