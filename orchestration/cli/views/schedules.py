"""What starts by the clock, and when next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from domain.errors import PromptoryError
from domain.schedule import Start, next_starts
from domain.task import Task
from orchestration.cli.failures import show_error
from orchestration.cli.opening import database_if_any, open_catalog
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.database.session import Database
from resources.experiments.scheduled import why_not


@dataclass(frozen=True, slots=True)
class Line:
    """One start of one task. `refused`: why an experiment would not start if it were due now."""

    task: str
    start: Start
    cron: str
    zone: str
    next: datetime
    refused: str | None

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "task": self.task,
            "start": self.start,
            "cron": self.cron,
            "time_zone": self.zone,
            "next": self.next.isoformat(),
            "next_utc": self.next.astimezone(UTC).isoformat(),
            "refused_now": self.refused,
        }


def listed(task: str | None, as_json: bool) -> None:
    """The starts of one task or of all, the next one first."""
    environment = Environment.read()
    catalog = open_catalog(environment)
    now = datetime.now(UTC)
    errors: tuple[PromptoryError, ...] = ()
    if task is not None:
        tasks = [catalog.get(task).task]
    else:
        reading = catalog.read()
        tasks, errors = [entry.task for entry in reading.entries], reading.errors
    with database_if_any(environment) as database:
        lines = sorted(_lines(tasks, database, now), key=lambda line: (line.next, line.task, line.start))
    value = {"schedules": [line.values() for line in lines], "errors": [error.as_dict() for error in errors]}
    emit(as_json, value, lambda console: _show(console, lines, errors))


def starts_text(task: Task, now: datetime) -> dict[str, str]:
    """By kind of start: when it is next, for people; nothing for a task without a schedule."""
    return {} if task.schedule is None else {kind: _moment(at) for kind, at in next_starts(task.schedule, now).items()}


def _lines(tasks: Iterable[Task], database: Database | None, now: datetime) -> Iterator[Line]:
    for task in tasks:
        if task.schedule is None:
            continue
        for kind, at in next_starts(task.schedule, now).items():
            asked = database if kind == "start_experiment" else None
            refused = why_not(asked, task, at, now) if asked is not None else None
            yield Line(task.name, kind, task.schedule.starts[kind], task.schedule.time_zone, at, refused)


def _show(console: Console, lines: list[Line], errors: tuple[PromptoryError, ...]) -> None:
    rows = [[line.task, line.start, line.cron, _moment(line.next)] for line in lines]
    if rows:
        console.print(table(None, ["task", "starts", "cron", "next"], rows, whole=["task", "starts", "next"]))
    elif not errors:
        console.print("No task file has a schedule. docs/alerts.md shows how to write one.")
    for line in lines:
        if line.refused is not None:
            console.print(f"No experiment of {line.task} would start now: {line.refused}")
    for error in errors:
        show_error(error)


def _moment(at: datetime) -> str:
    return f"{at:%a %Y-%m-%d %H:%M %Z}"
