"""What changed in task files and dataset files since they were last looked at, by content and not by date."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
    """What was handled: a fingerprint by task, and digests by file so that an untouched file is not read again.

    Attributes:
        requests: how often runs were requested. Files that change and change back ask for a run each time.
    """

    tasks: dict[str, TaskFingerprint] = field(default_factory=dict)
    digests: dict[str, tuple[str, str]] = field(default_factory=dict)
    requests: int = 0

    @classmethod
    def load(cls, text: str | None) -> Cursor:
        """The cursor a sensor kept; an empty one where there is none."""
        if not text:
            return cls()
        value: dict[str, Any] = json.loads(text)
        tasks = {name: TaskFingerprint(**parts) for name, parts in value["tasks"].items()}
        digests = {path: (stamp, digest) for path, (stamp, digest) in value["digests"].items()}
        return cls(tasks, digests, value.get("requests", 0))

    def dump(self) -> str:
        """The cursor as text."""
        tasks = {name: {"dataset": one.dataset, "prompt": one.prompt} for name, one in self.tasks.items()}
        return json.dumps({"tasks": tasks, "digests": self.digests, "requests": self.requests})


class ChangeWatch:
    """Takes fingerprints of tasks; reads a file again only when its size or date, or in a store its tag, changed."""

    def __init__(self, cursor: Cursor, landing_root: UPath, is_late: Callable[[], bool] = lambda: False) -> None:
        """See which tasks have a landing folder: in an object store each folder that is listed is a request.

        Args:
            is_late: whether there is no more time to read files; what was read until then is kept in `digests`.

        Raises:
            OSError: the landing folder cannot be listed.
            StateUnavailableError: its store does not answer.
        """
        self._old = cursor.digests
        self._landing_root = landing_root
        self._is_late = is_late
        self._landed = folder_names(landing_root)
        self.digests: dict[str, tuple[str, str]] = {}

    def fingerprint(self, entry: CatalogEntry) -> TaskFingerprint | None:
        """The task's fingerprint now; None where its files could not all be read in time.

        Raises:
            OSError: a dataset file cannot be read, or disappeared meanwhile.
            StateUnavailableError: its store does not answer.
        """
        declared = entry_at(declared_source(entry.task, entry.path))
        landed = landing_files(self._landing_root, entry.task.name) if entry.task.name in self._landed else []
        files = {str(file.path): file for file in (declared, *landed) if file is not None}
        stamps = {place: _stamp(file) for place, file in files.items()}
        for place, stamp in stamps.items():
            known = self._old.get(place)
            if known is not None and known[0] == stamp:
                self.digests[place] = known
        for place, file in files.items():
            if place not in self.digests:
                if self._is_late():
                    return None
                self.digests[place] = (stamps[place], file_digest(file.path))
        return fingerprint_of(entry.task, [self.digests[place][1] for place in files])


def fingerprint_of(task: Task, digests: Sequence[str]) -> TaskFingerprint:
    """The fingerprint that a task with dataset files of these digests has."""
    return TaskFingerprint(content_id({**task.reading, "files": list(digests)}), task.prompt.version().id)


def _stamp(file: Entry) -> str:
    return "|".join(one.stamp for one in files_below(file.path)) if file.is_folder else file.stamp
