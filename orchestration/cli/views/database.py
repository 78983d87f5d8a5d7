"""The database's address and schema."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts
from orchestration.environments import Environment
from resources.database.schema import head_revision, upgrade
from resources.database.session import open_database


def upgraded(as_json: bool) -> None:
    """Upgrade and say from what to what."""
    database = open_database(Environment.read().database)
    try:
        before, after = upgrade(database)
        value = {"database": database.shown_url, "before": before, "after": after, "changed": before != after}
    finally:
        database.dispose()

    def show(console: Console) -> None:
        if before == after:
            console.print(f"{value['database']} is on schema {after} already.", soft_wrap=True)
        else:
            console.print(f"{value['database']}: schema {before or 'none'} → {after}.", soft_wrap=True)

    emit(as_json, value, show)


def shown(as_json: bool) -> None:
    """Say where the database is, if its schema is current; else the error says what to do."""
    with current_database(Environment.read()) as database:
        value: dict[str, Any] = {"database": database.shown_url, "schema": head_revision(), "current": True}
    emit(as_json, value, lambda console: console.print(facts(value)))
