"""The end of a batch: dead letters, manifest, summary. Killed on the way, it is done again with the same outcome."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from upath import UPath

from domain.batch.states import BatchState, RowStatus
from domain.pricing import nano_to_usd
from resources.batch_inference.dead_letter import FILE, write_dead_letter
from resources.batch_inference.repeats import find_repeats
from resources.batch_inference.results import FOLDER
from resources.database.repositories import batch_chunks, batches
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.storage.atomic import write_atomically
from resources.storage.listing import list_folder

MANIFEST = "manifest.json"


def finish_batch(database: Database, root: UPath, batch: BatchRecord, active_s: float, now: datetime) -> BatchRecord:
    """Write what belongs to a finished batch and make it `done`; as it is then. Blocks.

    Args:
        active_s: seconds that workers spent on it, in all.

    Raises:
        ConflictError: another worker has it.
        OSError: the storage root cannot be used.
        DatabaseUnavailableError: as `Database.session`.
    """
    with database.session(read_only=True) as session:
        chunks = batch_chunks.list_chunks(session, batch.id)
    letters = write_dead_letter(root, batch, chunks)
    interrupted = any(chunk.interrupted for chunk in chunks)
    repeats = [repeat.as_dict() for repeat in find_repeats(database, root, batch)] if interrupted else []
    summary = {**sum_up(chunks), "dead_letters": letters, "active_s": round(active_s, 3)}
    _sweep(root / batch.folder / FOLDER, chunks)
    _write_manifest(root, batch, chunks, summary, repeats, now)
    with database.session() as session:
        batches.change_claimed(
            session,
            batch.id,
            batch.claim,
            state=BatchState.DONE.value,
            summary=summary,
            repeats=repeats,
            active_s=active_s,
            finished_at=now,
            request=None,
            worker=None,
            lease_until=None,
        )
        done = batches.find(session, batch.id)
    return done or batch


def sum_up(chunks: Sequence[ChunkRecord]) -> dict[str, Any]:
    """Rows by status and what they cost; money in nano-USD and as text in USD."""
    cost = sum(chunk.cost_nano_usd for chunk in chunks)
    return {
        "rows": sum(chunk.rows for chunk in chunks),
        "by_status": {status.value: sum(chunk.count(status) for chunk in chunks) for status in RowStatus},
        "cost_nano_usd": cost,
        "cost_usd": format(nano_to_usd(cost), "f"),
        "input_tokens": sum(chunk.input_tokens for chunk in chunks),
        "output_tokens": sum(chunk.output_tokens for chunk in chunks),
    }


def _write_manifest(
    root: UPath,
    batch: BatchRecord,
    chunks: Sequence[ChunkRecord],
    summary: dict[str, Any],
    repeats: list[dict[str, Any]],
    now: datetime,
) -> None:
    value = {
        "batch": batch.id,
        "task": batch.task,
        "prompt_version_id": batch.prompt_version_id,
        "source": batch.source,
        "rows_id": batch.rows_id,
        "parent": batch.parent_id,
        "summary": summary,
        "repeated_after_a_kill": repeats,
        "parts": [{"path": chunk.path, "first_row": chunk.first_row, "rows": chunk.rows} for chunk in chunks],
        "dead_letter": FILE if summary["dead_letters"] else None,
        "started_at": batch.started_at.isoformat() if batch.started_at else None,
        "finished_at": now.isoformat(),
    }
    text = json.dumps(value, ensure_ascii=False, indent=1).encode()
    write_atomically(root / batch.folder / MANIFEST, lambda stream: stream.write(text))


def _sweep(folder: UPath, chunks: Sequence[ChunkRecord]) -> None:
    """Remove parts that a killed worker left beside those that stand: the folder is read as one dataset."""
    standing = {str(chunk.path).rpartition("/")[2] for chunk in chunks}
    for part in list_folder(folder):
        if part.name not in standing:
            part.path.unlink(missing_ok=True)
