"""Batches as they are, and what a person does to one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.batch.states import BatchState, RowStatus
from domain.identity import short_id
from orchestration.cli.figures import dollars, usd
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.batch_jobs import job_table, job_values
from orchestration.environments import Environment
from resources.batch_inference import steering
from resources.batch_inference.progress import duration
from resources.batch_inference.steering import BatchView, Steered, look_at
from resources.database.repositories import batch_files, batches
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.storage.location import path_at

STATE_COLOURS = {"running": "green", "waiting": "green", "paused": "yellow", "done": "cyan", "cancelled": "dim"}
_ACTIONS: dict[str, Callable[[Database, str, datetime], Steered]] = {
    "pause": steering.pause,
    "resume": steering.resume,
    "cancel": steering.cancel,
}
SHOWN_REPEATS = 10


def listed(task: str | None, limit: int, as_json: bool) -> None:
    """The newest batches, and files that could not be taken in."""
    with current_database(Environment.read()) as database, database.session(read_only=True) as session:
        records = batches.list_batches(session, task=task, limit=limit)
        problems = batch_files.list_problems(session, task)
    value = {
        "batches": [record_values(record) for record in records],
        "refused_files": [{"task": one.task, "file": one.name, "problem": one.problem} for one in problems],
    }

    def show(console: Console) -> None:
        columns = ["batch", "task", "state", "rows", "dollars", "added", "source", "reason"]
        rows = [_line(record) for record in records]
        console.print(table("Batches", columns, rows, right=("rows", "dollars"), whole=("batch", "state")))
        if problems:
            refused = [[one.task, one.name, one.problem or ""] for one in problems]
            console.print(table("Files that could not be taken in", ["task", "file", "problem"], refused))

    emit(as_json, value, show)


def shown(reference: str, as_json: bool) -> None:
    """One batch in full."""
    environment = Environment.read()
    with current_database(environment) as database:
        view = look_at(database, path_at(environment.storage_root), reference, datetime.now(UTC))
    emit(as_json, view_values(view), lambda console: show_view(console, view))


def steered(action: str, reference: str, as_json: bool) -> None:
    """Pause, resume or cancel, and say what that did."""
    with current_database(Environment.read()) as database:
        done = _ACTIONS[action](database, reference, datetime.now(UTC))
    name = short_id(done.record.id)
    sentence = (
        f"Batch {name}: its worker was asked to {action}; the rows it has under way are answered first."
        if done.asked
        else f"Batch {name} is {done.record.state}."
    )
    emit(as_json, {**record_values(done.record), "asked": done.asked}, lambda console: console.print(sentence))


def record_values(record: BatchRecord) -> dict[str, Any]:
    """For JSON."""
    return {
        "batch": record.id,
        "task": record.task,
        "state": record.state,
        "pause_kind": record.pause_kind,
        "reason": record.reason,
        "resume_at": record.resume_at.isoformat() if record.resume_at else None,
        "source": record.source,
        "options": record.options,
        "rows": record.rows,
        "rejected": record.rejected,
        "parent": record.parent_id,
        "prompt_version_id": record.prompt_version_id,
        "summary": record.summary,
        "created_at": record.created_at.isoformat(),
        "started_at": record.started_at.isoformat() if record.started_at else None,
        "finished_at": record.finished_at.isoformat() if record.finished_at else None,
    }


def view_values(view: BatchView) -> dict[str, Any]:
    """For JSON."""
    counts = view.counts
    return {
        **record_values(view.record),
        "stalled": view.is_stalled,
        "finished_rows": view.finished_rows,
        "by_status": {status.value: getattr(counts, status.value) for status in RowStatus},
        "answered_in_open_chunks": counts.answered_since,
        "cost_nano_usd": counts.cost_nano_usd,
        "cost_usd": usd(counts.cost_nano_usd),
        "repeated_after_a_kill": view.repeats,
        "results": view.results,
        "manifest": view.manifest,
        "dead_letter": view.dead_letter,
        "provider_jobs": [job_values(job) for job in view.jobs],
    }


def show_view(console: Console, view: BatchView) -> None:
    """For people."""
    record, counts = view.record, view.counts
    state = Text(record.state, style=STATE_COLOURS.get(record.state, ""))
    if view.is_stalled:
        state = Text("running, but its worker is gone: run it, and it goes on", style="red")
    seen: dict[str, object] = {"batch": record.id, "task": record.task, "state": state}
    if record.state == BatchState.WAITING:
        look = f"promptory batch run {short_id(record.id)}"
        seen["waits for"] = f"the provider; the sensor provider_batches looks, or you: {look}"
    if record.reason:
        seen["reason"] = record.reason
    if record.resume_at:
        seen["tried again"] = f"after {record.resume_at:%Y-%m-%d %H:%M} UTC, or by `promptory batch run`"
    seen |= {
        "source": _source(record),
        "prompt version": short_id(record.prompt_version_id) if record.prompt_version_id else "(pinned when it starts)",
        "rows": f"{view.finished_rows:,} of {record.rows:,} ({100 * view.finished_rows / record.rows:.1f} %)",
    }
    for status in RowStatus:
        if count := getattr(counts, status.value):
            seen[f"  {status.value}"] = f"{count:,}"
    seen |= {"cost": dollars(counts.cost_nano_usd), "worked on for": duration(record.active_s)}
    seen["results"] = view.results
    if view.dead_letter:
        seen["dead letters"] = f"{view.dead_letter} (ask again: promptory batch retry {short_id(record.id)})"
    if view.repeats:
        named = ", ".join(repeat["call_id"] for repeat in view.repeats[:SHOWN_REPEATS])
        more = " …" if len(view.repeats) > SHOWN_REPEATS else ""
        seen["paid for twice"] = f"{len(view.repeats)} calls, lost with a worker: {named}{more}"
    console.print(facts(seen))
    if view.jobs:
        console.print(job_table(view.jobs))


def _line(record: BatchRecord) -> list[object]:
    cost = dollars(record.summary["cost_nano_usd"]) if record.summary else ""
    return [
        short_id(record.id),
        record.task,
        Text(record.state, style=STATE_COLOURS.get(record.state, "")),
        f"{record.rows:,}",
        cost,
        f"{record.created_at:%Y-%m-%d %H:%M}",
        _source(record),
        record.reason or "",
    ]


def _source(record: BatchRecord) -> str:
    source = record.source
    if source["kind"] == "query":
        return str(source["query"])
    if source["kind"] == "dead_letter":
        return f"dead letters of {short_id(str(source['batch']))}"
    return str(source["path"])
