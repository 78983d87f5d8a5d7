"""Moving an alias by hand: promote, roll back, release."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestration.cli.figures import named
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit
from orchestration.environments import Environment
from resources.evaluation.promote import PRODUCTION
from resources.evaluation.steering import HandMove, promote_by_hand, release_hold, roll_back


def promoted(task: str, reference: str, alias: str, reason: str, by: str | None, as_json: bool) -> None:
    """Point `alias` at a version, unless somebody moves it at the same moment."""
    with current_database(Environment.read()) as database:
        done = promote_by_hand(database, task, reference, alias, by=person(by), reason=reason, now=datetime.now(UTC))
    emit(as_json, _values(task, done, reason), lambda console: _show(console, task, done))


def rolled_back(task: str, alias: str, reason: str | None, leaving: str | None, by: str | None, as_json: bool) -> None:
    """Point `alias` at the version before."""
    with current_database(Environment.read()) as database:
        done = roll_back(
            database, task, alias, by=person(by), reason=reason, now=datetime.now(UTC), leaving=leaving
        )  # fmt: skip
    emit(as_json, _values(task, done, reason), lambda console: _show(console, task, done))


def released(task: str, reason: str, by: str | None, as_json: bool) -> None:
    """Let the gate move production again."""
    with current_database(Environment.read()) as database:
        there = release_hold(database, task, by=person(by), reason=reason, now=datetime.now(UTC))
    value = {"task": task, "alias": PRODUCTION, "held": False, "version": there.version, "id": there.id}

    def show(console: Console) -> None:
        console.print(f"The gate may move production of {task} again; it stays at {named(there)} for now.")
        console.print(f"Next: promptory evaluate {task}")

    emit(as_json, value, show)


def person(by: str | None = None) -> str:
    """Who acts, for the history: the machine's user, and the name that was given beside it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return f"{by.strip()} (cli:{user})" if by and by.strip() else f"cli:{user}"


def _values(task: str, done: HandMove, reason: str | None) -> dict[str, Any]:
    overruled = done.overruled
    return {
        "task": task,
        "alias": done.alias,
        "moved": done.kind is not None,
        "kind": done.kind,
        "held": _holds(done),
        "from": done.before.id if done.before else None,
        "to": done.after.id,
        "version": done.after.version,
        "reason": reason,
        "overruled": {"id": overruled.id, "verdict": overruled.verdict, "reason": overruled.reason}
        if overruled
        else None,
    }


def _show(console: Console, task: str, done: HandMove) -> None:
    if done.kind is None:
        console.print(f"{done.alias} of {task} points at {named(done.after)} already; nothing was moved.")
        return
    console.print(f"{done.alias} of {task}: {named(done.before) if done.before else 'none'} → {named(done.after)}")
    if done.overruled is not None:
        told = f"This overrules the gate, which said {done.overruled.verdict}: {done.overruled.reason}"
        console.print(Text(told, style="yellow"), soft_wrap=True)
    if _holds(done):
        console.print(f"The gate leaves it alone from now on, until: promptory prompt release {task} --reason …")


def _holds(done: HandMove) -> bool:
    return done.alias == PRODUCTION and done.kind in ("hand", "override", "rollback")
