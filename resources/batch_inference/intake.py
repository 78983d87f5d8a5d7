"""From a source to a batch: read once, normalised, kept by content, recorded in one transaction."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from upath import UPath

from domain.batch.identity import batch_id
from domain.batch.options import BatchOptions, check_handing_over
from domain.batch.rows import InputRow, make_input_row
from domain.batch.states import BatchState
from domain.errors import ConfigurationError, InputError
from domain.task import Task
from resources.batch_inference.snapshot import NAME, SnapshotFacts, write_snapshot
from resources.batch_inference.sources import FileSource, RowSource
from resources.database.repositories import aliases, batch_chunks, batch_files, batches, prompt_versions
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batch_files import BatchFileRecord
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.evaluation.promote import PRODUCTION
from resources.storage.atomic import write_atomically


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a new batch beside its rows.

    Attributes:
        again: answer the same rows once more, and pay once more, where they were answered already.
        prompt_version_id: instead of the production prompt.
        parent_id: the batch whose dead letters these rows are.
        landed: the file of a batch folder that the source is, remembered with the batch.
    """

    options: BatchOptions = field(default_factory=BatchOptions)
    again: bool = False
    prompt_version_id: str | None = None
    parent_id: str | None = None
    landed: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The batch of some rows; `is_new` is False where they were delivered before."""

    record: BatchRecord
    is_new: bool


class Intake:
    """Takes sources in, for one database and storage root."""

    def __init__(self, database: Database, root: UPath) -> None:
        self._database = database
        self._root = root

    def take_in(self, task: Task, source: RowSource, now: datetime, wish: Wish | None = None) -> TakenIn:
        """The batch of `source`'s rows; recorded, not started.

        Killed at any instant, it has either recorded the batch or not, and can be run again.

        Raises:
            InputError: the source cannot be read, holds no row, or more than `max_rejected` of its rows cannot be used.
            ConfigurationError: a query's variable is not set, or the prompt cannot be handed to a batch API.
            OSError: the storage root cannot be written.
        """
        wish = wish or Wish()
        if wish.options.how == "provider":
            self._check_handing_over(task, wish)
        with tempfile.TemporaryDirectory(prefix="promptory-batch-") as folder:
            local = Path(folder) / NAME
            with local.open("wb") as stream:
                facts = write_snapshot(_rows(task, source, wish.options.key), wish.options.rows_per_chunk, stream)
            _check(facts, source, wish.options.max_rejected)
            return self._record(task, source, now, wish, facts, local)

    def _check_handing_over(self, task: Task, wish: Wish) -> None:
        """Better told now than when the batch is run; no fault of the rows', so they are not refused."""
        with self._database.session(read_only=True) as session:
            current = aliases.find(session, task.name, PRODUCTION)
            version_id = wish.prompt_version_id or (current.prompt_version_id if current else None)
            prompt = prompt_versions.find(session, task.name, version_id) if version_id else None
        version = prompt.prompt if prompt else task.prompt.version()
        try:
            check_handing_over(wish.options.how, len(version.steps))
        except InputError as error:
            raise ConfigurationError(
                f"Task {task.name!r}: {error.problem}.", field=error.field, mend=error.mend
            ) from error

    def _record(
        self, task: Task, source: RowSource, now: datetime, wish: Wish, facts: SnapshotFacts, local: Path
    ) -> TakenIn:
        edition = self._edition(task, facts.rows_id) if wish.again else 0
        own_id = batch_id(
            task.name,
            facts.rows_id,
            edition=edition,
            prompt_version_id=wish.prompt_version_id,
            parent_id=wish.parent_id,
        )
        with self._database.session(read_only=True) as session:
            known = batches.find(session, own_id)
        if known is None:
            target = self._root / "batches" / own_id / NAME
            with local.open("rb") as stream:
                write_atomically(target, lambda out: shutil.copyfileobj(stream, out, 1 << 20))
        record = known or _new_record(own_id, task, source, now, wish, facts, edition)
        with self._database.session() as session:
            is_new = known is None and batches.add(session, record)
            if is_new:
                batch_chunks.add(session, _chunks(record, facts))
            if wish.landed is not None:
                name, stamp = wish.landed
                batch_files.put(session, BatchFileRecord(task.name, name, stamp, own_id, None, now))
        return TakenIn(record, is_new)

    def _edition(self, task: Task, rows_id: str) -> int:
        with self._database.session(read_only=True) as session:
            newest = batches.newest_edition(session, task.name, rows_id)
        return 0 if newest is None else newest + 1


def _rows(task: Task, source: RowSource, key: str | None) -> Iterator[InputRow]:
    fields = task.dataset.inputs
    needed = fields if key is None else (*fields, key)
    for number, raw in enumerate(source.rows(), start=1):
        unreadable = next((f"{name}: {raw.unreadable[name]}" for name in needed if name in raw.unreadable), None)
        yield make_input_row(number, raw.number, raw.values, fields, key, raw.problem or unreadable)


def _check(facts: SnapshotFacts, source: RowSource, max_rejected: float) -> None:
    file = str(source.path) if isinstance(source, FileSource) else None
    if not facts.rows:
        raise InputError("the batch holds no row", file=file, mend="add rows.")
    if facts.first_problem is None:
        return
    if facts.rejected > max_rejected * facts.rows or facts.rejected == facts.rows:
        row, problem = facts.first_problem
        raise InputError(
            f"{facts.rejected:,} of {facts.rows:,} rows cannot be used; the first: {problem}",
            file=file,
            row=row,
            field="max_rejected",
            mend="mend the source, or raise max_rejected.",
        )


def _new_record(
    own_id: str, task: Task, source: RowSource, now: datetime, wish: Wish, facts: SnapshotFacts, edition: int
) -> BatchRecord:
    return BatchRecord(
        id=own_id,
        task=task.name,
        state=BatchState.PENDING.value,
        pause_kind=None,
        reason=None,
        resume_at=None,
        request=None,
        source=source.shown,
        options=wish.options.model_dump(mode="json"),
        rows_id=facts.rows_id,
        edition=edition,
        parent_id=wish.parent_id,
        rows=facts.rows,
        rejected=facts.rejected,
        chunks=len(facts.chunks),
        prompt_version_id=wish.prompt_version_id,
        worker=None,
        claim=0,
        claimed_at=None,
        lease_until=None,
        active_s=0.0,
        repeats=[],
        summary=None,
        created_at=now,
        started_at=None,
        finished_at=None,
    )


def _chunks(record: BatchRecord, facts: SnapshotFacts) -> list[ChunkRecord]:
    made: list[ChunkRecord] = []
    first = 1
    for number, rows in enumerate(facts.chunks):
        made.append(ChunkRecord(record.id, number, first, rows, "open", 0))
        first += rows
    return made
