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
from resources.catalog.source_files import file_digest, stamped_files


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
    """Takes fingerprints of tasks; reads a file again only when its size or date changed.

    Args:
        is_late: whether there is no more time to read files; what was read until then is kept in `digests`.
    """

    def __init__(self, cursor: Cursor, landing_root: UPath, is_late: Callable[[], bool] = lambda: False) -> None:
        self._old = cursor.digests
        self._landing_root = landing_root
        self._is_late = is_late
        self.digests: dict[str, tuple[str, str]] = {}

    def fingerprint(self, entry: CatalogEntry) -> TaskFingerprint | None:
        """The task's fingerprint now; None where its files could not all be read in time.

        Raises:
            OSError: a dataset file cannot be read, or disappeared meanwhile.
        """
        files = {str(file.path): file for file in stamped_files(entry.task, UPath(entry.path), self._landing_root)}
        for name, file in files.items():
            known = self._old.get(name)
            if known is not None and known[0] == file.stamp:
                self.digests[name] = known
        for name, file in files.items():
            if name not in self.digests:
                if self._is_late():
                    return None
                self.digests[name] = (file.stamp, file_digest(file.path))
        return fingerprint_of(entry.task, [self.digests[name][1] for name in files])


def fingerprint_of(task: Task, digests: Sequence[str]) -> TaskFingerprint:
    """The fingerprint that a task with dataset files of these digests has."""
    return TaskFingerprint(content_id({**task.reading, "files": list(digests)}), task.prompt.version().id)
