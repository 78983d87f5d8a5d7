"""A worker of `benchmarks.batch_kills`: takes the file in, runs the batch, dies where it was told to."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upath import UPath

from benchmarks.batch_kill_points import arm
from benchmarks.kill_points import Countdown
from benchmarks.provider import PRICE
from domain.batch.options import BatchOptions
from domain.task import Task
from resources.batch_inference.intake import Intake, Wish
from resources.batch_inference.sources import FileSource
from resources.batch_inference.worker import open_worker
from resources.database.repositories import aliases, prompt_versions, tasks
from resources.database.schema import current_revision, upgrade
from resources.database.session import Database, open_database
from resources.llm import CoreSettings, open_client

TASK = "sorting"
CONCURRENCY = 16
MOST_ROWS = 25
"""Rows under way: those at the provider, and those being admitted or written down."""

CHUNK_ROWS = 20


def task() -> Task:
    """Any text is an answer; the message begins with the row's number, by which the invoice knows it."""
    return Task.model_validate(
        {
            "name": TASK,
            "dataset": {"source": "rows.csv", "inputs": ["text"], "output": "label"},
            "prompt": {
                "model": "openai/m",
                "parameters": {"max_output_tokens": 16},
                "system_prompt": "Sort it.",
                "output_prompt": "{{ text }}",
            },
            "evaluators": [{"kind": "exact_match"}],
        }
    )


def settings(base_url: str, database_url: str, state_url: str) -> CoreSettings:
    """Every guard on; one attempt a call, so that rows do fail and are asked again by a later round."""
    return CoreSettings.parse(
        {
            "state": state_url,
            "ledger": database_url,
            "endpoints": {"openai": {"base_url": base_url, "api_key": "key"}},
            "prices": {"openai/m": PRICE},
            "budgets": {"day": "10"},
            "retry": {"max_attempts": 1},
            "breaker": {"consecutive_faults": 1000},
            "flush_interval_s": 0.2,
            "lease_s": 2.0,
        }
    )


def prepare(database_url: str) -> None:
    """A database with the task in production."""
    database = open_database(database_url)
    if current_revision(database) is None:
        upgrade(database)
    now = datetime.now(UTC)
    with database.session() as session:
        tasks.upsert_task(session, task(), source_path="sorting.yaml", now=now)
        record = prompt_versions.register(session, TASK, task().prompt.version(), created_by="author", now=now)
        if aliases.find(session, TASK, "production") is None:
            aliases.move(
                session,
                TASK,
                "production",
                record.id,
                expected_revision=None,
                moved_by="harness",
                reason="harness",
                now=now,
            )
    database.dispose()


async def work(database: Database, folder: Path, core: CoreSettings) -> dict[str, Any]:
    """Take the file in and run its batch; how it is then."""
    root = UPath(folder / "storage")
    options = BatchOptions(
        key="number", concurrency=CONCURRENCY, chunk_rows=CHUNK_ROWS, retry_rounds=10, max_rejected=0.5, max_failed=1.0
    )
    source = FileSource(UPath(folder / "rows.csv"))
    taken = Intake(database, root).take_in(task(), source, datetime.now(UTC), Wish(options))
    async with (
        open_client(core) as client,
        open_worker(database, root, client, concurrency=CONCURRENCY, lease_s=2.0) as worker,
    ):
        record = await worker.run(taken.record.id)
    return {"id": record.id, "state": record.state, "reason": record.reason}


def main() -> None:
    """`folder base_url database state [point count mark]`; says `ready` when everything is imported."""
    folder, base_url, database_url, state_url, *deadly = sys.argv[1:]
    if deadly:
        point, count, mark = deadly
        countdown = Countdown(point, int(count), Path(mark))
        arm(countdown, state_url, database_url)
    database = open_database(database_url)
    print("ready", flush=True)
    core = settings(base_url, database_url, state_url)
    print(json.dumps(asyncio.run(work(database, Path(folder), core))), flush=True)
    database.dispose()


if __name__ == "__main__":
    main()
