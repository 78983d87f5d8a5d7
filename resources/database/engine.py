"""Making the SQLAlchemy engine: what every connection to SQLite or PostgreSQL is told, and how they are pooled."""

from __future__ import annotations

import json
import sqlite3
import time
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from domain.errors import ConfigurationError
from resources.database.urls import DatabaseUrl

READ_ONLY = "promptory_read_only"
BEGIN_WRITING = "BEGIN IMMEDIATE"

# NaN is no JSON: PostgreSQL would refuse it, SQLite would keep it; both refuse it here.
_to_json = partial(json.dumps, allow_nan=False)

POOL_SIZE = 5
POOL_OVERFLOW = 10
POOL_TIMEOUT_S = 30.0
POOL_RECYCLE_S = 1800
CONNECT_TIMEOUT_S = 5
SQLITE_BUSY_TIMEOUT_S = 30.0
_WAL_RETRY_S = 0.02

# Server-side bounds, so that a stuck client or a forgotten transaction cannot hold the others up for ever.
_POSTGRESQL_OPTIONS = (
    "-c statement_timeout=120s -c lock_timeout=30s -c idle_in_transaction_session_timeout=600s -c timezone=UTC"
)


def make_engine(database_url: DatabaseUrl) -> Engine:
    """An engine for `database_url`; no connection is made yet.

    Bound parameters (rows' contents) never appear in its errors.

    Raises:
        ConfigurationError: the folder of the SQLite file cannot be made.
    """
    return _sqlite_engine(database_url) if database_url.is_sqlite else _postgresql_engine(database_url)


def _postgresql_engine(database_url: DatabaseUrl) -> Engine:
    arguments: dict[str, Any] = {**database_url.secrets}
    own = database_url.url.query
    if "connect_timeout" not in own:
        arguments["connect_timeout"] = CONNECT_TIMEOUT_S
    if "application_name" not in own:
        arguments["application_name"] = "promptory"
    if "options" not in own:
        arguments["options"] = _POSTGRESQL_OPTIONS
    return create_engine(
        database_url.url,
        connect_args=arguments,
        hide_parameters=True,
        json_serializer=_to_json,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_S,
        pool_recycle=POOL_RECYCLE_S,
        pool_pre_ping=True,
    )


def _sqlite_engine(database_url: DatabaseUrl) -> Engine:
    path = database_url.path
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The folder of the database cannot be made ({error.strerror}).",
                file=str(path.parent),
                mend="Name a database file in a folder you may write to.",
            ) from None
    engine = create_engine(
        database_url.url,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S, "check_same_thread": False},
        hide_parameters=True,
        json_serializer=_to_json,
        poolclass=QueuePool,
        # In memory every connection would be a database of its own: all threads take turns on one.
        pool_size=POOL_SIZE if path is not None else 1,
        max_overflow=POOL_OVERFLOW if path is not None else 0,
        pool_timeout=POOL_TIMEOUT_S,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Python's own implicit BEGIN starts too late (reads run outside the transaction) and commits before DDL.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys = ON")
        _ensure_wal(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
    finally:
        cursor.close()


def _ensure_wal(cursor: Any) -> None:
    """Switch the file to WAL. SQLite does not wait for locks here, so processes that open a new file at once retry."""
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] in ("wal", "memory"):
        return
    deadline = time.monotonic() + SQLITE_BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start: a transaction that reads first and writes later could not be waited for."""
    read_only = bool(connection.get_execution_options().get(READ_ONLY))
    connection.exec_driver_sql(f"PRAGMA query_only = {int(read_only)}")
    connection.exec_driver_sql("BEGIN" if read_only else BEGIN_WRITING)
