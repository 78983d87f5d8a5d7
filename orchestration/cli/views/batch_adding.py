"""Taking batches in by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from domain.batch.options import BatchOptions
from domain.batch.states import BatchState
from domain.errors import InputError
from domain.identity import short_id
from domain.task import Task
from orchestration.cli.failures import FAILED
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit
from orchestration.cli.views.batch_running import run_batches
from orchestration.cli.views.batches import record_values, show_view
from orchestration.environments import Environment
from resources.batch_inference import steering
from resources.batch_inference.intake import Intake, TakenIn, Wish
from resources.batch_inference.sources import FileSource, RowSource
from resources.batch_inference.sql_source import SqlSource
from resources.batch_inference.steering import look_at
from resources.database.repositories import prompt_versions, tasks
from resources.database.session import Database
from resources.llm.endpoints import Endpoints
from resources.storage.location import path_at


@dataclass(frozen=True, slots=True)
class Added:
    """What the command was told; `changes` are options that differ from the task file's."""

    task: str
    files: tuple[str, ...]
    query: str | None
    url_variable: str | None
    url: str | None
    prompt: str | None
    again: bool
    changes: dict[str, Any]


def changed_options(**given: Any) -> dict[str, Any]:
    """The options that were given, by the names of the task file's section `batch`."""
    return {name: value for name, value in given.items() if value is not None}


def added(given: Added, *, run_now: bool, as_json: bool) -> int:
    """Take the sources in, run them if that was asked; the exit code."""
    environment = Environment.read()
    with current_database(environment) as database:
        with database.session(read_only=True) as session:
            task = tasks.get_task(session, given.task).task
            version = prompt_versions.get(session, task.name, given.prompt).id if given.prompt else None
            model = prompt_versions.get(session, task.name, version).prompt.model if version else task.prompt.model
        wish = Wish(_options(task, given.changes), given.again, version)
        if wish.options.how == "provider":
            Endpoints(environment.core_settings().endpoints, None).batch_api(model)  # better told now than at the start
        intake = Intake(database, path_at(environment.storage_root))
        now = datetime.now(UTC)
        taken = [intake.take_in(task, source, now, wish) for source in _sources(task, given)]
        return _go_on(environment, database, taken, run_now=run_now, as_json=as_json)


def retried(reference: str, *, run_now: bool, as_json: bool) -> int:
    """Take a batch's dead letters in; the exit code."""
    environment = Environment.read()
    with current_database(environment) as database:
        taken = steering.retry(database, path_at(environment.storage_root), reference, datetime.now(UTC))
        return _go_on(environment, database, [taken], run_now=run_now, as_json=as_json)


def _go_on(environment: Environment, database: Database, taken: list[TakenIn], *, run_now: bool, as_json: bool) -> int:
    records = [one.record for one in taken]
    if run_now:
        records = run_batches(environment, database, [one.record.id for one in taken], as_json)
    value = {
        "batches": [{**record_values(record), "new": one.is_new} for record, one in zip(records, taken, strict=True)]
    }

    def show(console: Console) -> None:
        for record, one in zip(records, taken, strict=True):
            if run_now:
                root = path_at(environment.storage_root)
                show_view(console, look_at(database, root, record.id, datetime.now(UTC)))
                continue
            name = short_id(record.id)
            unusable = f", {record.rejected:,} of them unusable" if record.rejected else ""
            known = "" if one.is_new else f" It was delivered before and is {record.state} (--again answers it anew)."
            console.print(f"Batch {name}: {record.rows:,} rows{unusable}.{known}", markup=False)
            if record.state != BatchState.DONE:
                console.print(f"Run it: promptory batch run {name}", style="dim")

    emit(as_json, value, show)
    return FAILED if run_now and any(record.state != BatchState.DONE for record in records) else 0


def _options(task: Task, changes: dict[str, Any]) -> BatchOptions:
    try:
        return BatchOptions.model_validate({**task.batch.options().model_dump(), **changes})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(first["msg"], field=str(first["loc"][0]), mend="give another value.") from error


def _sources(task: Task, given: Added) -> list[RowSource]:
    if given.query is not None:
        if given.files:
            raise InputError("a batch is of files or of a query, not of both", field="query", mend="add them apart.")
        return [SqlSource(given.query, url=given.url, variable=given.url_variable, environ=os.environ)]
    if given.files:
        return [FileSource(path_at(file)) for file in given.files]
    own = task.batch.query
    if own is None:
        raise InputError(
            "there is nothing to take in",
            field="files",
            mend=f"name files or a --query, or write `batch.query` into the task file of {task.name!r}.",
        )
    return [SqlSource(own.sql, variable=own.variable, environ=os.environ)]
