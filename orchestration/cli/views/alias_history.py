"""The audit of an alias: every move it ever made."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.alias_moves import is_held
from domain.identity import short_id
from orchestration.cli.figures import named
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.database.repositories import aliases, prompt_versions
from resources.database.repositories.aliases import AliasMoveRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.evaluation.promote import PRODUCTION, hold_text

STYLES = {"gate": "green", "override": "yellow", "rollback": "yellow", "hand": "yellow"}


def told(task: str, alias: str, as_json: bool) -> None:
    """All moves of one alias, newest first, and whether a person holds it."""
    with current_database(Environment.read()) as database, database.session(read_only=True) as session:
        points_at = aliases.get(session, task, alias)
        moves = aliases.history(session, task, alias)
        versions = {one.id: one for one in prompt_versions.list_prompt_versions(session, task)}
    held = alias == PRODUCTION and is_held(moves)
    value = {
        "task": task,
        "alias": alias,
        "points_at": points_at.prompt_version_id,
        "revision": points_at.revision,
        "held": held,
        "moves": [_values(move, versions) for move in moves],
    }

    def show(console: Console) -> None:
        columns = ["when (UTC)", "what", "from", "to", "by", "why", "decision"]
        rows = [_cells(move, versions) for move in moves]
        console.print(table(f"{alias} of {task}", columns, rows, whole=["when (UTC)", "what", "decision"]))
        if held:
            console.print(Text(hold_text(moves[0]), style="yellow"), soft_wrap=True)

    emit(as_json, value, show)


def _values(move: AliasMoveRecord, versions: dict[str, PromptVersionRecord]) -> dict[str, Any]:
    numbers = {
        f"{end}_version": versions[version_id].version if version_id in versions else None
        for end, version_id in (("from", move.from_id), ("to", move.to_id))
    }
    return {**asdict(move), **numbers}


def _cells(move: AliasMoveRecord, versions: dict[str, PromptVersionRecord]) -> list[object]:
    return [
        f"{move.moved_at:%Y-%m-%d %H:%M}",
        Text(move.kind, style=STYLES.get(move.kind, "")),
        _version(move.from_id, versions),
        _version(move.to_id, versions),
        move.moved_by,
        move.reason,
        short_id(move.decision_id) if move.decision_id else "",
    ]


def _version(version_id: str | None, versions: dict[str, PromptVersionRecord]) -> str:
    if version_id is None:
        return "–"
    return named(versions[version_id]) if version_id in versions else short_id(version_id)
