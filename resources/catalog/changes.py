"""What changed in task files and dataset files since they were last looked at, by content and not by date."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from upath import UPath

from domain.identity import content_id
from domain.task import Task
from resources.catalog.catalog import CatalogEntry
from resources.catalog.ingest import declared_source, file_digest, landing_files
from resources.storage.listing import Entry, entry_at, files_below, folder_names


@dataclass(frozen=True, slots=True)
class TaskFingerprint:
    """What a task's `dataset` and `prompt_version` depend on, each as one hash."""

    dataset: str
    prompt: str


@dataclass(slots=True)
class Cursor:
    """What was handled: a fingerprint by task, and digests by file so that an untouched file is not read again."""

    tasks: dict[str, TaskFingerprint] = field(default_factory=dict)
    digests: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str | None) -> Cursor:
        """The cursor a sensor kept; an empty one where there is none."""
        if not text:
            return cls()
        value: dict[str, Any] = json.loads(text)
        tasks = {name: TaskFingerprint(**parts) for name, parts in value["tasks"].items()}
        return cls(tasks, {path: (stamp, digest) for path, (stamp, digest) in value["digests"].items()})

    def dump(self) -> str:
        """The cursor as text."""
        tasks = {name: {"dataset": one.dataset, "prompt": one.prompt} for name, one in self.tasks.items()}
        return json.dumps({"tasks": tasks, "digests": self.digests})


class ChangeWatch:
    """Takes fingerprints of tasks; reads a file again only when its size or date, or in a store its tag, changed."""

    def __init__(self, cursor: Cursor, landing_root: UPath) -> None:
        """See which tasks have a landing folder: in an object store each folder that is listed is a request.

        Raises:
            OSError: the landing folder cannot be listed.
        """
        self._old = cursor.digests
        self._landing_root = landing_root
        self._landed = folder_names(landing_root)
        self.digests: dict[str, tuple[str, str]] = {}

    def fingerprint(self, entry: CatalogEntry) -> TaskFingerprint:
        """The task's fingerprint now.

        Raises:
            OSError: a dataset file disappeared while it was read.
        """
        declared = entry_at(declared_source(entry.task, entry.path))
        landed = landing_files(self._landing_root, entry.task.name) if entry.task.name in self._landed else []
        return fingerprint_of(entry.task, [self._digest(file) for file in (declared, *landed) if file is not None])

    def _digest(self, file: Entry) -> str:
        place = str(file.path)
        stamp = "|".join(one.stamp for one in files_below(file.path)) if file.is_folder else file.stamp
        known = self._old.get(place)
        digest = known[1] if known and known[0] == stamp else file_digest(file.path)
        self.digests[place] = (stamp, digest)
        return digest


def fingerprint_of(task: Task, digests: list[str]) -> TaskFingerprint:
    """The fingerprint that a task with dataset files of these digests has."""
    reading = {
        "dataset": task.dataset.model_dump(mode="json"),
        "contract": task.prompt.steps[-1].output.model_dump(mode="json"),
        "evaluators": [spec.model_dump(mode="json") for spec in task.evaluators],
        "files": digests,
    }
    return TaskFingerprint(content_id(reading), task.prompt.version().id)
