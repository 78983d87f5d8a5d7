"""Chunks of batches, and the answers of those that are not finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from domain.batch.states import ChunkState, RowStatus
from domain.errors import ConflictError
from resources.database.bulk_write import BulkWrite
from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import BatchAnswerRow, BatchChunkRow

if TYPE_CHECKING:
    from resources.database.insert_ignore import Insert


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """Consecutive rows of a batch.

    Attributes:
        first_row: 1-based number of its first row.
        round: askings that are finished; the next one has this number.
        interrupted: how often a worker left while it may have had rows of it under way.
        path: the part its results stand in, below the batch's folder; None before round 0 is finished.
        ok, fallback, invalid, failed, rejected: rows by status, as of that part; the other sums likewise.
    """

    batch_id: str
    chunk: int
    first_row: int
    rows: int
    state: str
    round: int
    interrupted: int = 0
    path: str | None = None
    ok: int = 0
    fallback: int = 0
    invalid: int = 0
    failed: int = 0
    rejected: int = 0
    cost_nano_usd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def last_row(self) -> int:
        """1-based number of its last row."""
        return self.first_row + self.rows - 1

    def count(self, status: RowStatus) -> int:
        """Rows of that status."""
        return getattr(self, status.value)


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Sums over the finished chunks of a batch, and the rows of unfinished ones that have an answer."""

    done_chunks: int
    ok: int
    fallback: int
    invalid: int
    failed: int
    rejected: int
    cost_nano_usd: int
    input_tokens: int
    output_tokens: int
    answered_since: int = 0

    @property
    def finished_rows(self) -> int:
        """Rows that have a result."""
        return self.ok + self.fallback + self.invalid + self.failed + self.rejected


def add(session: Session, chunks: Sequence[ChunkRecord]) -> None:
    """Store the chunks of a new batch."""
    insert_ignore(session, BatchChunkRow, [as_row(chunk) for chunk in chunks])


def list_chunks(session: Session, batch_id: str) -> list[ChunkRecord]:
    """All chunks of a batch, in row order."""
    query = select_record(BatchChunkRow, ChunkRecord).where(BatchChunkRow.batch_id == batch_id)
    return [read(ChunkRecord, row) for row in session.execute(query.order_by(BatchChunkRow.chunk))]


def finish(session: Session, before: ChunkRecord, after: ChunkRecord) -> None:
    """Make a round's results those of the chunk, and drop the answers they were made from.

    Raises:
        ConflictError: the round was finished already.
    """
    values = {name: value for name, value in as_row(after).items() if name not in ("batch_id", "chunk")}
    done = session.execute(
        update(BatchChunkRow)
        .where(
            BatchChunkRow.batch_id == before.batch_id,
            BatchChunkRow.chunk == before.chunk,
            BatchChunkRow.round == before.round,
        )
        .values(**values)
        .returning(BatchChunkRow.chunk)
        .execution_options(synchronize_session=False)
    )
    if done.one_or_none() is None:
        raise ConflictError(f"Round {before.round} of chunk {before.chunk} was finished by somebody else.")
    session.execute(
        delete(BatchAnswerRow).where(
            BatchAnswerRow.batch_id == before.batch_id, BatchAnswerRow.row.between(before.first_row, before.last_row)
        )
    )


def set_state(session: Session, chunk: ChunkRecord, state: ChunkState) -> None:
    """Say where an unfinished chunk stands."""
    session.execute(
        update(BatchChunkRow)
        .where(
            BatchChunkRow.batch_id == chunk.batch_id,
            BatchChunkRow.chunk == chunk.chunk,
            BatchChunkRow.round == chunk.round,
        )
        .values(state=state.value)
    )


def mark_interrupted(session: Session, batch_id: str, chunks: Sequence[int]) -> None:
    """Remember that rows of these chunks may have been paid for by a worker that is gone."""
    session.execute(
        update(BatchChunkRow)
        .where(BatchChunkRow.batch_id == batch_id, BatchChunkRow.chunk.in_(chunks))
        .values(interrupted=BatchChunkRow.interrupted + 1)
    )


def put_answers(session: Session, answers: Sequence[tuple[str, int, bytes]]) -> None:
    """Keep (batch, row, outcome); a row that has an answer keeps it."""
    _PUT_ANSWERS(session, answers)


def answers_of(session: Session, chunk: ChunkRecord) -> dict[int, bytes]:
    """The stored outcomes of an unfinished round, by row number."""
    query = select(BatchAnswerRow.row, BatchAnswerRow.outcome).where(
        BatchAnswerRow.batch_id == chunk.batch_id, BatchAnswerRow.row.between(chunk.first_row, chunk.last_row)
    )
    return {row.row: row.outcome for row in session.execute(query)}


def counts(session: Session, batch_id: str) -> BatchCounts:
    """How far the batch is."""
    summed = (*(status.value for status in RowStatus), "cost_nano_usd", "input_tokens", "output_tokens")
    columns = [func.coalesce(func.sum(getattr(BatchChunkRow, name)), 0) for name in summed]
    query = select(func.count(BatchChunkRow.path), *columns).where(BatchChunkRow.batch_id == batch_id)
    done, *sums = session.execute(query).one()
    waiting = session.scalar(select(func.count()).where(BatchAnswerRow.batch_id == batch_id))
    return BatchCounts(int(done), **dict(zip(summed, map(int, sums), strict=True)), answered_since=int(waiting or 0))


def _keeping(insert: Insert) -> Insert:
    return insert.on_conflict_do_nothing()


_PUT_ANSWERS = BulkWrite(BatchAnswerRow, ("batch_id", "row", "outcome"), _keeping)
