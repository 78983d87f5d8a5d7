"""Running batches in this process, with bars on the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import TypeVar

from rich.console import Console

from domain.batch.states import BatchState
from domain.errors import InputError
from domain.identity import short_id
from domain.task import Task
from orchestration.cli.failures import FAILED
from orchestration.cli.opening import current_database, with_task_cap
from orchestration.cli.progress_bars import progress_bars
from orchestration.cli.screen import emit
from orchestration.cli.views.batches import show_view, view_values
from orchestration.environments import Environment
from resources.batch_inference.drain import Drain, Drained
from resources.batch_inference.progress import BatchProgress
from resources.batch_inference.signals import stop_on_signals
from resources.batch_inference.steering import look_at
from resources.batch_inference.worker import BatchWorker, open_worker
from resources.database.repositories import batches, tasks
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database
from resources.llm import open_client
from resources.observability.progress import board
from resources.storage.location import path_at

T = TypeVar("T")
MOST_SHOWN = 50


def ran(references: Sequence[str], task_name: str | None, wait: bool, as_json: bool) -> int:
    """Run the named batches one after the other, or everything of a task; the exit code."""
    if bool(references) == (task_name is not None):
        raise InputError("say what to run", field="batch", mend="name batches, or a task with --task.")
    if wait and task_name is not None:
        raise InputError("only named batches can be waited for", field="wait", mend="name the batches.")
    environment = Environment.read()
    with current_database(environment) as database:
        if task_name is not None:
            drained = _drain(environment, database, task_name, as_json)
            return _tell(environment, database, drained.batches, as_json, drained)
        records = run_batches(environment, database, references, as_json, wait=wait)
        return _tell(environment, database, records, as_json, None)


def run_batches(
    environment: Environment, database: Database, references: Sequence[str], as_json: bool, *, wait: bool = False
) -> list[BatchRecord]:
    """The batches as they are after running them one after the other, or until one is interrupted.

    `wait` looks at a batch that waits for its provider again and again, as often as its `poll_s` says.
    """
    with database.session(read_only=True) as session:
        found = [batches.get(session, reference) for reference in references]
        capped = [tasks.get_task(session, name).task for name in sorted({record.task for record in found})]

    async def work(worker: BatchWorker) -> list[BatchRecord]:
        return [await _run_one(worker, record, wait) for record in found]

    concurrency = max(record.settings.concurrency for record in found)
    with progress_bars(shown=not as_json):
        return asyncio.run(_with_worker(environment, database, capped, concurrency, work))


async def _run_one(worker: BatchWorker, record: BatchRecord, wait: bool) -> BatchRecord:
    ran = await worker.run(record.id)
    while wait and ran.state == BatchState.WAITING and worker.interrupted is None:
        for _ in range(ceil(ran.settings.poll_s)):
            if worker.interrupted is None:  # Ctrl-C is to be heard soon
                await _second()
        ran = await worker.run(record.id)
    return ran


async def _second() -> None:
    await asyncio.sleep(1.0)


def _drain(environment: Environment, database: Database, task_name: str, as_json: bool) -> Drained:
    with database.session(read_only=True) as session:
        task = tasks.get_task(session, task_name).task
    root, folder = path_at(environment.storage_root), path_at(environment.batch_root)

    async def work(worker: BatchWorker) -> Drained:
        return await Drain(database, root, folder, task, worker, lambda: datetime.now(UTC)).run()

    with progress_bars(shown=not as_json):
        return asyncio.run(_with_worker(environment, database, [task], task.batch.concurrency, work))


async def _with_worker(
    environment: Environment,
    database: Database,
    capped: Sequence[Task],
    concurrency: int,
    work: Callable[[BatchWorker], Awaitable[T]],
) -> T:
    settings = with_task_cap(environment.core_settings(), *capped)
    root = path_at(environment.storage_root)
    async with (
        open_client(settings) as client,
        open_worker(database, root, client, concurrency=concurrency, listener=_show) as worker,
    ):
        with stop_on_signals(worker.interrupt):
            return await work(worker)


def _show(progress: BatchProgress) -> None:
    board.report(f"batch {short_id(progress.batch_id)}", progress.finished, progress.rows, progress.sentence())


def _tell(
    environment: Environment,
    database: Database,
    records: Sequence[BatchRecord],
    as_json: bool,
    drained: Drained | None,
) -> int:
    root, now = path_at(environment.storage_root), datetime.now(UTC)
    views = [look_at(database, root, record.id, now) for record in records[:MOST_SHOWN]]
    value: dict[str, object] = {"batches": [view_values(view) for view in views]}
    if drained is not None:
        value |= {
            "files_taken_in": drained.taken_in,
            "files_delivered_before": drained.delivered_before,
            "files_refused": [{"file": name, "problem": problem} for name, problem in drained.refused],
        }

    def show(console: Console) -> None:
        for view in views:
            show_view(console, view)
            console.print()
        if not views:
            console.print("Nothing to do.")
        for name, problem in [] if drained is None else drained.refused:
            console.print(f"{name} was not taken in: {problem}", style="red", markup=False)

    emit(as_json, value, show)
    return 0 if all(record.state == BatchState.DONE for record in records) else FAILED
