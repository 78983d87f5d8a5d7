"""What lies in a folder, told from its listing: in an object store a question about each file would cost a request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from upath import UPath

from resources.storage.failures import reaching
from resources.storage.location import is_local

_TAGS = ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime", "created")
LONGEST_STAMP = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder.

    Attributes:
        stamp: changes with a file's content: its size and date, or in an object store its tag. Empty for a folder.
        modified_s: a local file's date, in epoch seconds.
    """

    name: str
    path: UPath
    stamp: str
    is_folder: bool = False
    modified_s: float | None = None


def list_folder(folder: UPath) -> list[Entry]:
    """What lies directly in a folder, by name; nothing where it does not exist.

    Raises:
        OSError: the folder cannot be listed.
        StateUnavailableError: the store does not answer.
    """
    found = _local_entries(folder) if is_local(folder) else _remote_entries(folder)
    return sorted(found, key=lambda entry: entry.name)


def entry_at(path: UPath) -> Entry | None:
    """The file or folder at `path`; None where there is nothing.

    Raises:
        OSError: it cannot be looked at.
        StateUnavailableError: the store does not answer.
    """
    try:
        if is_local(path):
            local = Path(path.path)
            return _local_entry(path, path.name, local.stat(), is_folder=local.is_dir())
        with reaching(path):
            return _remote_entry(path, path.fs.info(path.path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def folder_names(root: UPath) -> set[str]:
    """The names of the folders directly below `root`.

    Raises:
        OSError: the root cannot be listed.
        StateUnavailableError: the store does not answer.
    """
    return {entry.name for entry in list_folder(root) if entry.is_folder}


def files_below(folder: UPath) -> list[Entry]:
    """All files below a folder at any depth, by path.

    Raises:
        OSError: the folder cannot be listed.
        StateUnavailableError: the store does not answer.
    """
    if is_local(folder):
        paths = (path for path in Path(folder.path).rglob("*") if path.is_file())
        found = [_local_entry(UPath(path), path.name, path.stat(), is_folder=False) for path in paths]
    else:
        with reaching(folder):
            infos = cast(dict[str, dict[str, Any]], folder.fs.find(folder.path, detail=True))
        found = [_remote_entry(_rebased(folder, name), info) for name, info in infos.items()]
    return sorted(found, key=lambda entry: entry.path.path.split("/"))


def _local_entries(folder: UPath) -> list[Entry]:
    path = Path(folder.path)
    if not path.is_dir():
        return []
    found: list[Entry] = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                found.append(_local_entry(UPath(entry.path), entry.name, entry.stat(), is_folder=entry.is_dir()))
            except FileNotFoundError:
                continue  # it went away meanwhile
    return found


def _local_entry(path: UPath, name: str, status: os.stat_result, *, is_folder: bool) -> Entry:
    stamp = "" if is_folder else f"{status.st_size}-{status.st_mtime_ns}"
    return Entry(name, path, stamp, is_folder, status.st_mtime)


def _remote_entries(folder: UPath) -> list[Entry]:
    try:
        with reaching(folder):
            infos: list[dict[str, Any]] = folder.fs.ls(folder.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    own = folder.path.rstrip("/")
    # Consoles mark a folder with an empty object of its own name, which is listed among what lies in it.
    return [_remote_entry(folder / _name(info), info) for info in infos if str(info["name"]).rstrip("/") != own]


def _remote_entry(path: UPath, info: Mapping[str, Any]) -> Entry:
    if info["type"] == "directory":
        return Entry(_name(info), path, "", is_folder=True)
    tag = next((info[name] for name in _TAGS if info.get(name)), "")
    shown = tag.timestamp() if isinstance(tag, datetime) else tag
    return Entry(_name(info), path, f"{info.get('size')}-{shown}"[:LONGEST_STAMP])


def _rebased(folder: UPath, name: str) -> UPath:
    return folder / name.removeprefix(folder.path.rstrip("/")).lstrip("/")


def _name(info: Mapping[str, Any]) -> str:
    return str(info["name"]).rstrip("/").rpartition("/")[2]
