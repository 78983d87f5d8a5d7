"""The files of a task's dataset: the declared source, and what was dropped into its landing folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from domain.task import Task
from resources.storage.listing import LOCAL, local_stamp, remote_entries, remote_name, remote_stamp


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A dataset file, or a folder that is one dataset; `stamp` changes when it is written."""

    path: UPath
    stamp: str


def source_files(task: Task, task_path: UPath, landing_root: UPath) -> list[UPath]:
    """All files of a task's dataset in the order they are read: the declared source, then what landed."""
    return [_declared(task, task_path), *landing_files(landing_root, task.name)]


def stamped_files(task: Task, task_path: UPath, landing_root: UPath) -> list[SourceFile]:
    """Those of `source_files` that are there, with their stamps.

    Raises:
        OSError: one disappeared meanwhile, or cannot be looked at.
    """
    declared = _declared(task, task_path)
    own = [SourceFile(declared, _stamp(declared))] if declared.exists() else []
    return [*own, *_landed(landing_root / task.name)]


def landing_files(landing_root: UPath, task_name: str) -> list[UPath]:
    """The dataset files dropped for a task into `<landing_root>/<task>/`, oldest name first.

    Names that start with `.` or `_`, or end in `.tmp` or `.part`, are uploads still under way.
    """
    return [file.path for file in _landed(landing_root / task_name)]


def file_digest(path: UPath) -> str:
    """SHA-256 of a file, or of all files of a folder in the order of their names."""
    if path.protocol in LOCAL and not path.is_dir():
        with Path(path.path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in _files_below(path):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _declared(task: Task, task_path: UPath) -> UPath:
    source = UPath(task.dataset.source)
    return source if source.is_absolute() or source.protocol else (task_path.parent / source).resolve()


def _landed(folder: UPath) -> list[SourceFile]:
    """One listing of the folder, and no question per file: there may be ten thousand."""
    if folder.protocol in LOCAL:
        found = _landed_here(folder)
    else:
        found = {
            remote_name(entry): remote_stamp(entry) if entry["type"] == "file" else _stamp(folder / remote_name(entry))
            for entry in remote_entries(folder)
            if not _is_partial(remote_name(entry))
        }
    return [SourceFile(folder / name, found[name]) for name in sorted(found)]


def _landed_here(folder: UPath) -> dict[str, str]:
    path = Path(folder.path)
    if not path.is_dir():
        return {}
    with os.scandir(path) as entries:
        return {
            entry.name: _stamp(UPath(entry.path)) if entry.is_dir() else local_stamp(entry.stat())
            for entry in entries
            if not _is_partial(entry.name)
        }


def _stamp(path: UPath) -> str:
    if path.is_dir():
        return "|".join(_stamp(child) for child in _files_below(path))
    return local_stamp(Path(path.path).stat()) if path.protocol in LOCAL else remote_stamp(path.fs.info(path.path))


def _files_below(path: UPath) -> Iterator[UPath]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    else:
        yield path


def _is_partial(name: str) -> bool:
    return name.startswith((".", "_")) or name.endswith((".tmp", ".part"))
