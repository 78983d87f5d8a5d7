"""What a folder listing says of files, local or at an object-store URL, in as few requests as can be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from upath import UPath

LOCAL = ("", "file", "local")
"""Protocols of folders of this machine."""

_TAGS = ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime", "created")


def remote_entries(folder: UPath) -> list[dict[str, Any]]:
    """What lies in a folder at an object-store URL now; nothing where there is no such folder.

    File systems keep listings for as long as they live, and a sensor lives for weeks: theirs is dropped first.

    Raises:
        OSError: it cannot be listed.
    """
    folder.fs.invalidate_cache(folder.path)
    return folder.fs.ls(folder.path, detail=True) if folder.exists() else []


def local_stamp(status: os.stat_result) -> str:
    """Changes when the file is written: size and date."""
    return f"{status.st_size}:{status.st_mtime}"


def remote_stamp(entry: Mapping[str, Any]) -> str:
    """Changes when the object is written; from an entry of fsspec's `ls(detail=True)`."""
    tag = next((entry[name] for name in _TAGS if entry.get(name)), "")
    return f"{entry.get('size')}-{tag}"[:200]


def remote_name(entry: Mapping[str, Any]) -> str:
    """The last part of an entry's path."""
    return str(entry["name"]).rstrip("/").rpartition("/")[2]
