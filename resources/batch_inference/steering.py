"""What people do with batches: pause, let go on, cancel, ask dead letters again, look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from upath import UPath

from domain.batch.states import BatchState
from domain.errors import ConflictError, InputError
from domain.identity import short_id
from resources.batch_inference.dead_letter import FILE, DeadLetterSource
from resources.batch_inference.finishing import MANIFEST
from resources.batch_inference.intake import Intake, TakenIn, Wish
from resources.batch_inference.leases import is_free
from resources.batch_inference.repeats import find_repeats
from resources.batch_inference.results import FOLDER
from resources.batch_inference.stopping import CANCEL, PAUSE, StopReason
from resources.database.repositories import batch_chunks, batches, provider_jobs, tasks
from resources.database.repositories.batch_chunks import BatchCounts
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database


@dataclass(frozen=True, slots=True)
class Steered:
    """The batch as it is now. `asked`: its worker was told and will obey once the rows under way are answered."""

    record: BatchRecord
    asked: bool


def pause(database: Database, reference: str, now: datetime) -> Steered:
    """Pause a batch until a person lets it go on.

    Raises:
        NotFoundError, InputError: the reference names none, or several.
        ConflictError: it has come to its end, is being cancelled, or changed hands at the same moment.
    """
    return _end(database, reference, "pause", PAUSE, now)


def cancel(database: Database, reference: str, now: datetime) -> Steered:
    """End a batch for good; results of finished chunks stay.

    Raises:
        NotFoundError, InputError, ConflictError: as `pause`.
    """
    return _end(database, reference, "cancel", CANCEL, now)


def resume(database: Database, reference: str, now: datetime) -> Steered:
    """Let a batch go on that is paused, or waits for nothing any more: the task's next run takes it up, or `batch run`.

    Raises:
        NotFoundError, InputError: the reference names none, or several.
        ConflictError: it is not paused, or changed hands at the same moment.
    """
    with database.session() as session:
        record = batches.get(session, reference)
        if not may_be_resumed(session, record):
            raise ConflictError(f"Batch {short_id(record.id)} is {record.state}, not paused.")
        resumed = batches.rest(session, record, BatchState.PENDING, None, "", now)
        if resumed is None:
            raise batches.taken_over(record.id)
        return Steered(resumed, asked=False)


def may_be_resumed(session: Session, record: BatchRecord) -> bool:
    """Whether the batch goes on only when a person says so: it is paused, or waits for nothing any more.

    The latter is so where a job that was put aside is decided before any worker has told of it.
    """
    if record.state == BatchState.WAITING:
        return not provider_jobs.has_open(session, record.id)
    return record.state == BatchState.PAUSED


def retry(database: Database, root: UPath, reference: str, now: datetime) -> TakenIn:
    """A batch of the dead letters of a finished one, for the same prompt where a person had named one.

    The same letters again are the same batch.

    Raises:
        NotFoundError, InputError: the reference names none or several, or there are no dead letters to ask again.
        ConflictError: the batch is not done.
    """
    with database.session(read_only=True) as session:
        record = batches.get(session, reference)
        task = tasks.get_task(session, record.task).task
    if record.state != BatchState.DONE:
        raise ConflictError(
            f"Batch {short_id(record.id)} is {record.state}.",
            mend=f"Finish it first: `promptory batch run {short_id(record.id)}`.",
        )
    by_status: dict[str, int] = (record.summary or {})["by_status"]
    if not any(count for status, count in by_status.items() if status not in ("ok", "rejected")):
        raise InputError(
            f"Batch {short_id(record.id)} has no row that asking again could help.",
            mend="Rejected rows need a mend: correct them and add them as a new batch.",
        )
    wish = Wish(record.settings, prompt_version_id=record.named_prompt_id, parent_id=record.id)
    return Intake(database, root).take_in(task, DeadLetterSource(root, record), now, wish)


@dataclass(frozen=True, slots=True)
class BatchView:
    """Everything there is to see of a batch.

    Attributes:
        is_stalled: its worker is gone, and nobody has taken it over yet.
        repeats: calls that were paid for and lost with a worker.
        jobs: at the provider's batch API, oldest first.
    """

    record: BatchRecord
    counts: BatchCounts
    is_stalled: bool
    repeats: list[dict[str, Any]]
    results: str
    manifest: str | None
    dead_letter: str | None
    jobs: list[ProviderJob]

    @property
    def finished_rows(self) -> int:
        """Rows with a result, or an answer that will be one."""
        return min(self.record.rows, self.counts.finished_rows + self.counts.answered_since)


def look_at(database: Database, root: UPath, reference: str, now: datetime) -> BatchView:
    """A batch as it is now.

    Raises:
        NotFoundError, InputError: the reference names none, or several; or a part of its results is gone.
    """
    with database.session(read_only=True) as session:
        record = batches.get(session, reference)
        counts = batch_chunks.counts(session, record.id)
        jobs = provider_jobs.of_batch(session, record.id)
    folder = root / record.folder
    done = record.state == BatchState.DONE
    letters = bool(done and (record.summary or {}).get("dead_letters"))
    return BatchView(
        record=record,
        counts=counts,
        is_stalled=record.worker is not None and is_free(record, now),
        repeats=[repeat.as_dict() for repeat in find_repeats(database, root, record)],
        results=str(folder / FOLDER),
        manifest=str(folder / MANIFEST) if done else None,
        dead_letter=str(folder / FILE) if letters else None,
        jobs=jobs,
    )


def _end(database: Database, reference: str, request: str, end: StopReason, now: datetime) -> Steered:
    with database.session() as session:
        record = batches.get(session, reference)
        if BatchState(record.state).is_final:
            raise ConflictError(f"Batch {short_id(record.id)} is {record.state} already.")
        if record.request == "cancel" and request == "pause":
            raise ConflictError(f"Batch {short_id(record.id)} is being cancelled.")
        busy = not is_free(record, now)
        if busy:
            changed = batches.ask(session, record, request)
        else:
            changed = batches.rest(session, record, end.state, end.kind, end.text, now)
        if changed is None:
            raise batches.taken_over(record.id)
        return Steered(changed, asked=busy)
