"""What changed in task files and dataset files since they were last looked at, by content and not by date."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from upath import UPath

from domain.identity import content_id
from domain.task import Task
from resources.catalog.catalog import CatalogEntry
from resources.catalog.ingest import file_digest, source_files


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
    """Takes fingerprints of tasks; reads a file again only when its size or date changed."""

    def __init__(self, cursor: Cursor, landing_root: UPath) -> None:
        self._old = cursor.digests
        self._landing_root = landing_root
        self.digests: dict[str, tuple[str, str]] = {}

    def fingerprint(self, entry: CatalogEntry) -> TaskFingerprint:
        """The task's fingerprint now.

        Raises:
            OSError: a dataset file disappeared while it was read.
        """
        files = source_files(entry.task, UPath(entry.path), self._landing_root)
        digests = [self._digest(path) for path in files if path.exists()]
        return fingerprint_of(entry.task, digests)

    def _digest(self, path: UPath) -> str:
        stamp = _stamp(path)
        known = self._old.get(str(path))
        digest = known[1] if known and known[0] == stamp else file_digest(path)
        self.digests[str(path)] = (stamp, digest)
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


def _stamp(path: UPath) -> str:
    if path.is_dir():
        return "|".join(_stamp(child) for child in sorted(path.rglob("*")) if child.is_file())
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime}"
