"""The database's schema version: reading it, requiring it, upgrading it."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, inspect, select, text

from domain.errors import SchemaVersionError
from resources.database.failures import UPGRADE_MEND
from resources.database.session import Database
from resources.database.tables import Base

# Alembic brings a template engine and a syntax highlighter along: a tenth of what loading the definitions may take.
if TYPE_CHECKING:
    from alembic.config import Config

# Not Alembic's default name: Dagster keeps its own revision there when it shares the PostgreSQL database.
VERSION_TABLE = "promptory_schema_version"

_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = "promptory/schema"
# Alembic hands its context to env.py through a global: threads that upgrade two databases take turns.
_ALEMBIC = threading.Lock()


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to this program's: (revision before, revision after). One transaction: all or nothing.

    Processes that upgrade at once take turns; the later ones find nothing to do.

    Raises:
        SchemaVersionError: the schema is newer than this program, or there are tables without a revision.
        DatabaseUnavailableError: the database cannot be reached.
    """
    from alembic import command

    with database.explained(), database.engine.begin() as connection:
        if not database.is_sqlite:  # SQLite's transaction has the write lock already
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_UPGRADE_LOCK, 0))))
        before = _revision(connection)
        _refuse_unknown(database, connection, before)
        if before != head_revision():
            with _ALEMBIC:
                command.upgrade(_config(connection), "head")
    return before, head_revision()


def is_empty(database: Database) -> bool:
    """Whether it holds no table at all, of this program or another.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
    """
    with database.session(read_only=True) as session:
        return not inspect(session.connection()).get_table_names()


def current_revision(database: Database) -> str | None:
    """The revision the database is on; None before the first upgrade."""
    with database.session(read_only=True) as session:
        return _revision(session.connection())


def require_current(database: Database) -> None:
    """Return only if the database is on this program's schema.

    Raises:
        SchemaVersionError: it is older, absent or newer; the mend says what to do.
        DatabaseUnavailableError: the database cannot be reached.
    """
    revision = current_revision(database)
    if revision == head_revision():
        return
    if revision is None:
        raise SchemaVersionError(f"The database {database.shown_url} has no schema yet.", mend=UPGRADE_MEND)
    if revision in known_revisions():
        raise SchemaVersionError(
            f"The database {database.shown_url} is on schema {revision}, this program needs {head_revision()}.",
            mend=UPGRADE_MEND,
        )
    raise _newer(database, revision)


@lru_cache
def known_revisions() -> tuple[str, ...]:
    """All revisions of this program, newest first."""
    from alembic.script import ScriptDirectory

    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def head_revision() -> str:
    """The revision this program works with."""
    return known_revisions()[0]


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config


def _revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _refuse_unknown(database: Database, connection: Connection, revision: str | None) -> None:
    if revision is not None:
        if revision not in known_revisions():
            raise _newer(database, revision)
        return
    ours = sorted(set(inspect(connection).get_table_names()) & set(Base.metadata.tables))
    if ours:
        raise SchemaVersionError(
            f"The database {database.shown_url} has no revision, yet it holds the tables {', '.join(ours)}.",
            mend="Name an empty database, or restore the one you meant.",
        )


def _newer(database: Database, revision: str) -> SchemaVersionError:
    return SchemaVersionError(
        f"The database {database.shown_url} is on schema {revision}, which is newer than this program.",
        mend="Install the Promptory release that upgraded the database, or a later one.",
    )
