"""Opening the database and working with it in transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from resources.database.engine import READ_ONLY, make_engine
from resources.database.failures import explain
from resources.database.urls import DatabaseUrl, parse_database_url


class Database:
    """One database, shared by all threads of a process. Each `session()` is one transaction of one thread."""

    def __init__(self, database_url: DatabaseUrl, engine: Engine) -> None:
        self._url = database_url
        self.engine = engine
        reading = engine.execution_options(**{READ_ONLY: True}, postgresql_readonly=True)
        self._writer = sessionmaker(engine, expire_on_commit=False)
        self._reader = sessionmaker(reading, expire_on_commit=False)

    def __repr__(self) -> str:
        return f"Database({self.shown_url!r})"

    @property
    def shown_url(self) -> str:
        """The URL with its password masked: fit for logs and metadata."""
        return self._url.shown

    @property
    def is_sqlite(self) -> bool:
        """SQLite rather than PostgreSQL."""
        return self._url.is_sqlite

    @contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back when the block raises.

        On SQLite only one writing session exists at a time, across processes, from its first statement on (others
        wait up to 30 s): keep slow work out of the block and never open a second writing session inside it.
        `read_only` sessions see one snapshot (SQLite), never wait for writers and refuse to write.

        Raises:
            DatabaseUnavailableError: unreachable, a standby that cannot be written, or busy for too long.
            SchemaVersionError: a table or column is missing.
        """
        with self.explained(writing=not read_only), (self._reader if read_only else self._writer).begin() as session:
            yield session

    @contextmanager
    def explained(self, *, writing: bool = True) -> Iterator[None]:
        """Turn what the driver raises inside the block into the errors `session` promises."""
        try:
            yield
        except SQLAlchemyError as error:
            clear = explain(error, self._url, writing=writing)
            if clear is None:
                raise
            raise clear from None

    def dispose(self) -> None:
        """Close the pooled connections. Safe to call twice; a later session connects anew."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open (SQLite: create) the database at `url` and check that it answers. Its schema is not looked at.

    Raises:
        ConfigurationError: the URL is not usable.
        DatabaseUnavailableError: it does not answer.
    """
    database_url = parse_database_url(url)
    database = Database(database_url, make_engine(database_url))
    try:
        with database.explained(), database.engine.connect():
            pass
    except BaseException:
        database.dispose()
        raise
    return database
