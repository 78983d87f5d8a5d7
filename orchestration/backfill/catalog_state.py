"""What the task files say now, against what was stored of them: for a thousand tasks at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.dataset import DatasetVersion
from domain.errors import StateUnavailableError
from orchestration.environments import Environment
from resources.catalog.catalog import Catalog, CatalogEntry
from resources.catalog.changes import ChangeWatch, Cursor, TaskFingerprint, fingerprint_of
from resources.catalog.snapshot import source_digests
from resources.database.repositories import dataset_versions, prompt_versions, tasks
from resources.database.repositories.tasks import TaskRecord
from resources.database.session import Database
from resources.storage.location import path_at

NO_OPTIMIZER = "its file names no optimizer"


@dataclass(frozen=True, slots=True)
class CatalogState:
    """The catalog, and what of it is stored.

    Attributes:
        entries: readable tasks by name.
        problems: one sentence per task file that is not, and per task whose dataset files are not.
        datasets: the newest dataset version by task.
        changed: by asset, the tasks whose files say something new.
    """

    entries: dict[str, CatalogEntry]
    problems: tuple[str, ...]
    datasets: dict[str, DatasetVersion]
    changed: dict[str, frozenset[str]]

    def cannot_be_made(self) -> dict[str, dict[str, str]]:
        """By asset: tasks it cannot be made for."""
        without = {name for name, entry in self.entries.items() if entry.task.optimizer is None}
        return {"optimization_run": dict.fromkeys(without, NO_OPTIMIZER)}


def read_catalog(environment: Environment, database: Database, *, with_files: bool = True) -> CatalogState:
    """Read all task files; `with_files` also compares them and their dataset files with what is stored.

    Raises:
        ConfigurationError, InputError: the settings file is not usable.
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
        OSError: the landing folder cannot be listed.
        StateUnavailableError: its store does not answer.
    """
    reading = Catalog(environment.catalog, environment.endpoint_kinds()).read()
    entries = {entry.task.name: entry for entry in reading.entries}
    problems = tuple(str(error) for error in reading.errors)
    if not with_files:
        with database.session(read_only=True) as session:
            return CatalogState(entries, problems, dataset_versions.latest_of_all(session), {})
    with database.session(read_only=True) as session:
        stored = {record.name: record for record in tasks.list_tasks(session)}
        newest = dataset_versions.latest_of_all(session)
        prompts = prompt_versions.ids_of_all(session)
    watch = ChangeWatch(Cursor(), path_at(environment.landing_root))
    now, unread = _fingerprints(watch, entries)
    entries = {name: entry for name, entry in entries.items() if name in now}
    changed_rows = {name for name in entries if _has_new_rows(entries[name], stored.get(name), newest, now[name])}
    changed_prompts = {name for name, one in now.items() if (name, one.prompt) not in prompts}
    return CatalogState(
        entries,
        (*problems, *unread),
        newest,
        {"dataset": frozenset(changed_rows), "prompt_version": frozenset(changed_prompts)},
    )


def _fingerprints(
    watch: ChangeWatch, entries: Mapping[str, CatalogEntry]
) -> tuple[dict[str, TaskFingerprint], list[str]]:
    """By task; of those whose dataset files cannot be read, a sentence."""
    found: dict[str, TaskFingerprint] = {}
    unread: list[str] = []
    for name, entry in entries.items():
        try:
            fingerprint = watch.fingerprint(entry)
        except (OSError, StateUnavailableError) as error:
            unread.append(f"{entry.path}: the dataset files of {name} cannot be read: {error}")
            continue
        if fingerprint is not None:
            found[name] = fingerprint
    return found, unread


def _has_new_rows(
    entry: CatalogEntry, stored: TaskRecord | None, newest: Mapping[str, DatasetVersion], now: TaskFingerprint
) -> bool:
    version = newest.get(entry.task.name)
    if stored is None or version is None:
        return True
    return fingerprint_of(stored.task_like(entry.task), source_digests(version.sources)).dataset != now.dataset
