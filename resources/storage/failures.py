"""A storage root that cannot be used, whatever its client calls that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from upath import UPath

from domain.errors import StateUnavailableError
from resources.storage.location import is_local

_CLIENT_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_OF_THE_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def storage_errors() -> tuple[type[Exception], ...]:
    """What using a storage root raises when it cannot be used, for `except storage_errors() as error`.

    `OSError`, and what the clients of object stores raise that is none: no credentials, no connection. Python asks for
    the types only once something was raised, so that no client is loaded for it.
    """
    loaded = ((sys.modules.get(module), name) for module, name in _CLIENT_ERRORS)
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))


def storage_away(error: Exception, location: str | None = None) -> StateUnavailableError:
    """What is raised where results cannot be written or rows not read; `location` where the error names none."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    file = getattr(error, "filename", None) or location
    return StateUnavailableError(
        f"the storage cannot be used: {said}",
        file=str(file) if file else None,
        mend="see to it and go on; what was answered is kept.",
    )


@contextmanager
def reaching(path: UPath) -> Iterator[None]:
    """Around every request to a store: what its client raises is told in our words.

    Raises:
        OSError: anything of a local file; of one in a store that it is missing or may not be used.
        StateUnavailableError: the store does not answer, or not as it should.
    """
    try:
        yield
    except _OF_THE_FILE:
        raise
    except storage_errors() as error:
        if is_local(path):
            raise
        raise storage_away(error, str(path)) from error
