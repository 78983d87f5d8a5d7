"""Moving an alias by hand."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

from rich.console import Console

from orchestration.cli.figures import named
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit
from orchestration.environments import Environment
from resources.database.repositories import aliases, prompt_versions


def promoted(task: str, reference: str, alias: str, reason: str, as_json: bool) -> None:
    """Point `alias` at a version, unless somebody moves it at the same moment."""
    with current_database(Environment.read()) as database, database.session() as session:
        record = prompt_versions.get(session, task, reference)
        current = aliases.find(session, task, alias)
        before = prompt_versions.find(session, task, current.prompt_version_id) if current else None
        moved = current is None or current.prompt_version_id != record.id
        if moved:
            aliases.move(
                session,
                task,
                alias,
                record.id,
                expected_revision=current.revision if current else None,
                moved_by=f"cli:{person()}",
                reason=reason,
                now=datetime.now(UTC),
            )
    value = {
        "task": task,
        "alias": alias,
        "moved": moved,
        "from": before.id if before else None,
        "to": record.id,
        "version": record.version,
        "reason": reason,
    }

    def show(console: Console) -> None:
        if not moved:
            console.print(f"{alias} of {task} points at {named(record)} already; nothing was moved.")
        else:
            console.print(f"{alias} of {task}: {named(before) if before else 'none'} → {named(record)}")

    emit(as_json, value, show)


def person() -> str:
    """Who sits at the terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
