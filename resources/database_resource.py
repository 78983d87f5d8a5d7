"""Dagster resource: the database that holds versions, runs, decisions and the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from resources.database.schema import require_current
from resources.database.session import Database, open_database


class DatabaseResource(dg.ConfigurableResource):
    """SQLite by default, PostgreSQL by URL."""

    url: str = Field(description="SQLAlchemy URL, e.g. sqlite:///promptory.db or postgresql+psycopg://user@host/db.")

    @contextmanager
    def connect(self) -> Iterator[Database]:
        """The database, checked to be on this program's schema and disposed of afterwards.

        Raises:
            SchemaVersionError: run `promptory db upgrade`.
            ConfigurationError: the URL cannot be used or the server cannot be reached.
        """
        database = open_database(self.url)
        try:
            require_current(database)
            yield database
        finally:
            database.dispose()
