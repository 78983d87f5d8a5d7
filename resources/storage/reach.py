"""Whether files at a location can be used, asked before they are needed."""

from __future__ import annotations

from uuid import uuid4

from upath import UPath

from domain.errors import ConfigurationError, PromptoryError
from resources.storage.atomic import write_atomically
from resources.storage.failures import storage_away, storage_errors
from resources.storage.listing import list_folder
from resources.storage.location import is_local, path_at


def location_problem(location: str, *, writes: bool) -> PromptoryError | None:
    """Why files at `location` cannot be used; None where they can.

    Lists it, and where `writes` puts a small file there and removes it.
    """
    try:
        path = path_at(location)
        if not is_local(path):
            _require_bucket(path)
        list_folder(path)
        if writes:
            probe = path / f".promptory-check-{uuid4().hex}"
            write_atomically(probe, lambda stream: stream.write(b"written by promptory health --check"))
            probe.unlink()
    except PromptoryError as error:
        return error
    except storage_errors() as error:
        return storage_away(error, location)
    return None


def _require_bucket(path: UPath) -> None:
    """A bucket that is not there would pass for an empty folder."""
    try:
        # First, because clients say that a bucket does not exist when they were not let in.
        path.fs.ls(path.path)
    except FileNotFoundError:
        bucket = path.path.strip("/").partition("/")[0]
        if path.protocol != "memory" and not path.fs.exists(bucket):
            raise ConfigurationError(
                f"there is no bucket {bucket!r}",
                file=str(path),
                mend="make it, or check its name and the endpoint.",
            ) from None
