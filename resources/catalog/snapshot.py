"""From a task's files to a registered dataset version."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from upath import UPath

from domain.dataset import DatasetVersion, Row, Split, dataset_version_id
from domain.errors import InputError
from domain.split_moves import SplitMoves, split_moves
from domain.task import Task
from resources.catalog.catalog import CatalogEntry
from resources.catalog.ingest import Ingested, QuarantinedRow, ingest, source_files
from resources.database.repositories import dataset_versions, tasks
from resources.database.session import Database
from resources.storage.datasets import DatasetStore


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A dataset version, its rows, and what was set aside while reading."""

    version: DatasetVersion
    rows: tuple[Row, ...]
    quarantined: tuple[QuarantinedRow, ...]


def take_snapshot(
    entry: CatalogEntry, landing_root: UPath, database: Database, store: DatasetStore, now: datetime
) -> Snapshot:
    """Read, check and store all files of a task as one immutable version; the same content gives the same version.

    Raises:
        InputError: a file cannot be used, or a split has no row. Earlier versions are untouched.
    """
    task = entry.task
    result = ingest(task, source_files(task, entry.path, landing_root))
    rows = tuple(sorted(result.rows.values(), key=lambda row: row.input_id))
    split_rows = split_counts(task, result)
    version_id = dataset_version_id(rows)
    path = store.write(version_id, rows)
    with database.session() as session:
        tasks.upsert_task(session, task, source_path=str(entry.path), now=now)
        version = dataset_versions.register(
            session,
            task.name,
            version_id,
            storage_path=path,
            rows=len(rows),
            split_rows=split_rows,
            quarantined=len(result.quarantined),
            sources=result.sources,
            now=now,
        )
    return Snapshot(version, rows, tuple(result.quarantined))


def moves_since_other(
    snapshot: Snapshot, database: Database, store: DatasetStore
) -> tuple[DatasetVersion | None, SplitMoves]:
    """The task's newest version besides `snapshot`, if any, and which rows crossed the seal of `test` since.

    Raises:
        NotFoundError: the other version's file is gone.
    """
    version = snapshot.version
    with database.session(read_only=True) as session:
        other = dataset_versions.latest_besides(session, version.task, version.id)
    before = () if other is None else store.read(other, tuple(Split))
    return other, split_moves(before, snapshot.rows)


def split_counts(task: Task, ingested: Ingested) -> dict[str, int]:
    """Rows per split.

    Raises:
        InputError: a split that is to have rows has none.
    """
    rows = ingested.rows.values()
    counts = {str(split): 0 for split in Split} | Counter(str(row.split) for row in rows)
    for split, count in counts.items():
        if count == 0 and getattr(task.dataset.split, split) > 0:
            raise InputError(
                f"the {split} split would be empty: the dataset has only {len(rows)} rows",
                file=str(ingested.sources[0]["file"]),
                field=f"dataset.split.{split}",
                mend="add rows, or change the fractions.",
            )
    return counts


def source_digests(sources: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    """The SHA-256 of each file a version was read from, in order."""
    return tuple(str(source["sha256"]) for source in sources)
