"""Where files are: a local folder or an object store, by path or URL."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from upath import UPath

from domain.errors import ConfigurationError

LOCAL = ("", "file", "local")
_OBJECT_STORES = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}


def path_at(location: str | Path | UPath) -> UPath:
    """The path that a setting, a task file or a command names.

    An object store's listings are not remembered, as fsspec would for the life of the process: files that others write
    would never be seen.

    Raises:
        ConfigurationError: the URL's file system is not known or not installed.
    """
    if isinstance(location, UPath):
        return location
    try:
        path = UPath(location)
    except ValueError as error:
        raise ConfigurationError(
            f"no file system is known for this URL: {error}", file=str(location), mend="use a folder, s3:// or gs://."
        ) from error
    if path.protocol not in _OBJECT_STORES:
        return path
    package, extra = _OBJECT_STORES[path.protocol]
    if find_spec(package) is None:
        raise ConfigurationError(
            f"{path.protocol}:// needs the package {package}",
            file=str(location),
            mend=f"pip install 'promptory[{extra}]'; the image: --build-arg EXTRAS={extra}.",
        )
    return UPath(location, use_listings_cache=False)


def is_local(path: UPath) -> bool:
    """Whether the path is one of this machine's file system."""
    return path.protocol in LOCAL
