"""Opening what commands work on, with errors that say how to get it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TypeVar

from domain.errors import ConfigurationError, DatabaseUnavailableError, SchemaVersionError
from domain.task import Task
from orchestration.environments import Environment
from resources.catalog.catalog import Catalog
from resources.database.schema import is_empty, require_current, upgrade
from resources.database.session import Database, open_database
from resources.database.urls import parse_database_url
from resources.llm import CoreSettings, LLMClient, open_client

T = TypeVar("T")


@contextmanager
def current_database(environment: Environment) -> Iterator[Database]:
    """The database, on this program's schema. A SQLite file that is missing is not made, see `make_database`.

    Raises:
        SchemaVersionError: it does not exist yet, or is on another schema.
        ConfigurationError, DatabaseUnavailableError: it cannot be opened.
    """
    path = parse_database_url(environment.database).path
    if path is not None and not path.exists():
        raise SchemaVersionError(
            "there is no database yet",
            file=str(path),
            mend="run `promptory db upgrade`, or set PROMPTORY_HOME to the folder that has one.",
        )
    database = open_database(environment.database)
    try:
        require_current(database)
        yield database
    finally:
        database.dispose()


def make_database(environment: Environment) -> None:
    """Make a SQLite database that is not there yet: the first command of a newcomer needs no other before it.

    One that holds anything is left alone, whatever its schema: upgrading is a person's decision. A file without tables
    is one that another first command is about to fill; this one waits for it.

    Raises:
        ConfigurationError, DatabaseUnavailableError: it cannot be made.
    """
    if parse_database_url(environment.database).path is None:
        return
    database = open_database(environment.database)
    try:
        if is_empty(database):
            upgrade(database)
    finally:
        database.dispose()


def ask_core(settings: CoreSettings, ask: Callable[[LLMClient], Awaitable[T]]) -> T:
    """What `ask` gives for an open execution core, which is closed afterwards.

    Raises:
        ConfigurationError, DatabaseUnavailableError, SchemaVersionError, StateUnavailableError: it cannot be opened.
    """

    async def asked() -> T:
        async with open_client(settings) as client:
            return await ask(client)

    return asyncio.run(asked())


@contextmanager
def database_if_any(environment: Environment) -> Iterator[Database | None]:
    """The database, or None where there is none that can be read: the catalog can be looked at without."""
    try:
        opened = current_database(environment)
        database = opened.__enter__()
    except (SchemaVersionError, ConfigurationError, DatabaseUnavailableError):
        yield None
        return
    try:
        yield database
    finally:
        opened.__exit__(None, None, None)


def open_catalog(environment: Environment) -> Catalog:
    """The catalog.

    Raises:
        ConfigurationError: there is no such folder, or the settings file is not usable.
    """
    if not environment.catalog.is_dir():
        raise ConfigurationError(
            "there is no catalog here",
            file=str(environment.catalog),
            field="PROMPTORY_CATALOG",
            mend="change to a folder that has one, set PROMPTORY_CATALOG to it, or make one from a labelled file with "
            "`promptory task init --from file.csv --input text --output category`.",
        )
    return Catalog(environment.catalog, environment.endpoint_kinds())


def with_task_cap(settings: CoreSettings, *tasks: Task) -> CoreSettings:
    """`settings` with the caps that the tasks' own files set, where the settings set none for them."""
    own: dict[str, Decimal] = {}
    for task in tasks:
        own |= task.caps()
    return settings.model_copy(update={"budgets": {**own, **settings.budgets}})
