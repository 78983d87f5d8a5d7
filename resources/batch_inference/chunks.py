"""Chunks of one batch on disk and in the database: what is still to ask, and making a round's results stand."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from upath import UPath

from domain.batch.outcome import RowOutcome
from domain.batch.rows import InputRow
from domain.batch.states import ChunkState, RowStatus, worth_asking_again
from domain.prompt import PromptVersion
from resources.batch_inference.answering import rows_without
from resources.batch_inference.outcome_text import decode
from resources.batch_inference.results import PartLayout, merge, read_part, write_part
from resources.batch_inference.snapshot import NAME, Snapshot
from resources.database.repositories import batch_chunks, batches
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database


@dataclass(frozen=True, slots=True)
class LoadedChunk:
    """A chunk whose next round is to be asked.

    Attributes:
        rows: without an answer yet.
        answered: rows of this round that have one, from a run before.
    """

    chunk: ChunkRecord
    rows: deque[InputRow]
    answered: int


class Chunks:
    """Everything here blocks: callers use a thread.

    Attributes:
        submitted: chunks that others have, as of the last look at what is due.
    """

    def __init__(
        self, database: Database, root: UPath, batch: BatchRecord, prompt: PromptVersion, kept: Sequence[str]
    ) -> None:
        """Prepare; `kept` are the input fields to copy to the results."""
        self._database = database
        self._batch = batch
        self._folder = root / batch.folder
        self._snapshot = Snapshot(self._folder / NAME)
        options = batch.settings
        self._rounds = 1 + options.retry_rounds
        self._retry_invalid = options.retries_invalid(prompt.parameters.temperature)
        self.submitted = 0
        self._layout = PartLayout(prompt.steps[-1].output, prompt.id, kept)

    def due(self) -> list[ChunkRecord]:
        """Chunks with rows to ask, those of the earliest round first and alone; empty when the batch is answered."""
        with self._database.session(read_only=True) as session:
            chunks = batch_chunks.list_chunks(session, self._batch.id)
        self.submitted = sum(chunk.state == ChunkState.SUBMITTED for chunk in chunks)
        waiting = [chunk for chunk in chunks if self._needs_asking(chunk)]
        first = min((chunk.round for chunk in waiting), default=0)
        return [chunk for chunk in waiting if chunk.round == first]

    def mark_interrupted(self, most: int) -> None:
        """Remember the chunks that the worker before this one may have had rows of under way: the first `most` due."""
        chunks = [chunk.chunk for chunk in self.due()[:most]]
        with self._database.session() as session:
            batch_chunks.mark_interrupted(session, self._batch.id, chunks)

    def with_others(self) -> list[ChunkRecord]:
        """Chunks that others have."""
        with self._database.session(read_only=True) as session:
            chunks = batch_chunks.list_chunks(session, self._batch.id)
        return [chunk for chunk in chunks if chunk.state == ChunkState.SUBMITTED]

    def load(self, chunk: ChunkRecord) -> LoadedChunk:
        """What is still to ask of the chunk's next round.

        Raises:
            OSError: snapshot or part are gone.
            DatabaseUnavailableError: as `Database.session`.
        """
        with self._database.session(read_only=True) as session:
            answered = set(batch_chunks.answers_of(session, chunk))
        rows = self._snapshot.read(chunk.chunk)
        if chunk.round:
            again = self._again(chunk)
            rows = [row for row in rows if row.number in again]
        return LoadedChunk(chunk, rows_without(rows, answered), len(answered))

    def finish(self, chunk: ChunkRecord) -> ChunkRecord:
        """Write the round's part and make it stand; killed in between, it is done again from the same answers.

        Raises:
            ConflictError: another worker has the batch.
            OSError: the storage root cannot be written.
            DatabaseUnavailableError: as `Database.session`.
        """
        with self._database.session() as session:
            # Who took the batch over may have made a part of the answers already, and dropped them.
            batches.require_claims(session, {self._batch.id: self._batch.claim})
            stored = batch_chunks.answers_of(session, chunk)
        outcomes: dict[int, RowOutcome] = {row: decode(outcome) for row, outcome in stored.items()}
        rows = self._snapshot.read(chunk.chunk)
        before = {one["row"]: one for one in read_part(self._folder, chunk.path)} if chunk.path else {}
        after = write_part(
            self._folder, self._layout, chunk, merge(self._layout, rows, outcomes, before, chunk.round + 1)
        )
        with self._database.session() as session:
            batches.require_claims(session, {self._batch.id: self._batch.claim})
            batch_chunks.finish(session, chunk, after)
        if chunk.path and chunk.path != after.path:
            (self._folder / chunk.path).unlink(missing_ok=True)
        return after

    def set_state(self, chunk: ChunkRecord, state: ChunkState) -> None:
        """Record that others have the chunk, or that it is open again.

        Raises:
            ConflictError: another worker has the batch.
            DatabaseUnavailableError: as `Database.session`.
        """
        with self._database.session() as session:
            batches.require_claims(session, {self._batch.id: self._batch.claim})
            batch_chunks.set_state(session, chunk, state)

    def _needs_asking(self, chunk: ChunkRecord) -> bool:
        if chunk.state == ChunkState.SUBMITTED:
            return False
        if chunk.round == 0:
            return True
        if chunk.round >= self._rounds:
            return False
        return any(
            chunk.count(status) for status in RowStatus if worth_asking_again(status, retry_invalid=self._retry_invalid)
        )

    def _again(self, chunk: ChunkRecord) -> set[int]:
        stood = read_part(self._folder, str(chunk.path), ["row", "status"])
        return {
            one["row"]
            for one in stood
            if worth_asking_again(RowStatus(one["status"]), retry_invalid=self._retry_invalid)
        }
