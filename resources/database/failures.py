"""Turning a driver's failure into one clear error: unreachable, busy, or on another schema."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from domain.errors import DatabaseUnavailableError, PromptoryError, SchemaVersionError
from resources.database.engine import BEGIN_WRITING
from resources.database.urls import DatabaseUrl

UPGRADE_MEND = "run `promptory db upgrade`"

_UNREACHABLE_MEND = "Check that the server runs and that the URL's host, port, user, password and database are right."
_FILE_MEND = "Check that the file is a Promptory database and that you may read and write it and its folder."
_STANDBY_MEND = "See whether it is a standby since a failover, and make the URL name the server that is written to."
_BROKEN_MEND = "See the server's log."
_BUSY_MEND = "Find the process that holds a transaction open, end it and try again."

# SQLSTATE classes and codes of PostgreSQL.
_MISSING_IN_SCHEMA = {"42P01", "42703"}
_BUSY_STATES = {"55P03", "57014", "40P01", "40001", "25P03"}
_READ_ONLY_STATE = "25006"
_UNREACHABLE_CLASSES = {"08", "28", "3D", "53", "57"}
_BROKEN_CLASSES = {"58", "XX"}

_SQLITE_BUSY = ("database is locked", "database table is locked")
_SQLITE_MISSING = ("no such table", "no such column", "has no column named")
_SQLITE_READ_ONLY = "attempt to write a readonly database"
_SQLITE_UNREACHABLE = (
    "unable to open database file",
    "file is not a database",
    "disk I/O error",
    "database disk image is malformed",
    "database or disk is full",
)


def explain(error: SQLAlchemyError, database_url: DatabaseUrl, *, writing: bool = True) -> PromptoryError | None:
    """The error a person should see instead of `error`; None where it is a fault of the program's own statement.

    Args:
        writing: whether the session may write: one that may not is itself to blame when the server says so.
    """
    if isinstance(error, PoolTimeoutError):
        return DatabaseUnavailableError(
            f"All connections to {database_url.shown} are in use.",
            mend="Run less at once, or look for sessions that are never closed.",
        )
    if not isinstance(error, DBAPIError):
        return None
    if database_url.is_sqlite:
        return _explain_sqlite(error, database_url)
    return _explain_postgresql(error, database_url, writing)


def _explain_sqlite(error: DBAPIError, database_url: DatabaseUrl) -> PromptoryError | None:
    message = str(error.orig)
    if message.startswith(_SQLITE_MISSING) or _SQLITE_MISSING[-1] in message:
        return _other_schema(database_url, message)
    if message.startswith(_SQLITE_BUSY):
        return DatabaseUnavailableError(f"The database {database_url.shown} is busy: {message}.", mend=_BUSY_MEND)
    # A writing session meets a file it may not write when it begins; later it is a read-only session's own fault.
    not_writable = message == _SQLITE_READ_ONLY and error.statement == BEGIN_WRITING
    if not_writable or message.startswith(_SQLITE_UNREACHABLE):
        return DatabaseUnavailableError(
            f"The database {database_url.shown} cannot be used: {message}.", mend=_FILE_MEND
        )
    return None


def _explain_postgresql(error: DBAPIError, database_url: DatabaseUrl, writing: bool) -> PromptoryError | None:
    state = getattr(error.orig, "sqlstate", None)
    message = database_url.scrub(" ".join(str(error.orig).split()))
    if state in _MISSING_IN_SCHEMA:
        return _other_schema(database_url, message.split(" LINE ")[0])
    if state in _BUSY_STATES:
        return DatabaseUnavailableError(f"The database {database_url.shown} is busy: {message}", mend=_BUSY_MEND)
    if state == _READ_ONLY_STATE and writing:
        return DatabaseUnavailableError(
            f"The database {database_url.shown} can only be read: {message}", mend=_STANDBY_MEND
        )
    never_connected = state is None and type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout"}
    if error.connection_invalidated or never_connected or (state or "")[:2] in _UNREACHABLE_CLASSES:
        return DatabaseUnavailableError(
            f"The database {database_url.shown} cannot be reached: {message}", mend=_UNREACHABLE_MEND
        )
    if (state or "")[:2] in _BROKEN_CLASSES:
        return DatabaseUnavailableError(
            f"The database {database_url.shown} cannot be used: {message}", mend=_BROKEN_MEND
        )
    return None


def _other_schema(database_url: DatabaseUrl, message: str) -> SchemaVersionError:
    return SchemaVersionError(
        f"The database {database_url.shown} is not on this program's schema: {message}.", mend=UPGRADE_MEND
    )
