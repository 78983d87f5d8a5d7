"""The measured process of `benchmarks.batch`: puts the task into production and materializes `batch_predictions`.

Prints `rows <n>` lines while it runs and its figures as JSON on the last line.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from upath import UPath

from assets.batch_inference.batch_predictions import batch_predictions
from benchmarks.worker import cpu_s
from jobs.predict_batches import predict_batches
from orchestration.environments import Environment
from orchestration.instance import open_instance
from orchestration.task_resources import build_task_resources
from resources.batch_inference.chunks import Chunks
from resources.catalog.catalog import Catalog
from resources.database.repositories import batches, prompt_versions, tasks
from resources.database.repositories.batches import BatchRecord
from resources.database.schema import upgrade
from resources.database.session import Database, open_database
from resources.evaluation.steering import promote_by_hand
from resources.observability.progress import Progress, board

TASK = "sorting"


class Watch:
    """When the first and the last row were answered."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None
        self.last: tuple[float, int] | None = None
        self._told = 0

    def __call__(self, progress: Progress) -> None:
        """Note how far the batch is."""
        now = (time.monotonic(), progress.done)
        if progress.done and self.first is None:
            self.first = now
        if self.last is None or progress.done > self.last[1]:
            self.last = now
        if progress.done >= self._told + 1000:
            self._told = progress.done
            print(f"rows {progress.done}", flush=True)


def prepare(environment: Environment, database: Database) -> None:
    """The task's authored prompt in production."""
    task = Catalog(environment.catalog, environment.endpoint_kinds()).get(TASK).task
    now = datetime.now(UTC)
    with database.session() as session:
        tasks.upsert_task(session, task, source_path="sorting.yaml", now=now)
        prompt_versions.register(session, TASK, task.prompt.version(), created_by="author", now=now)
    promote_by_hand(database, TASK, "v1", "production", by="benchmark", reason="benchmark", now=now)


def resume_scan_s(database: Database, root: UPath, batch: BatchRecord) -> float:
    """Seconds until a worker that takes the batch over knows what is still to ask."""
    with database.session(read_only=True) as session:
        prompt = prompt_versions.get(session, TASK, str(batch.prompt_version_id)).prompt
    began = time.perf_counter()
    chunks = Chunks(database, root, batch, prompt, ())
    due = chunks.due()
    assert not due
    return time.perf_counter() - began


def main() -> None:
    """Prepare, run, tell."""
    environment = Environment.read()
    environment.home.mkdir(parents=True, exist_ok=True)
    database = open_database(environment.database)
    upgrade(database)
    prepare(environment, database)
    definitions = dg.Definitions(
        assets=[batch_predictions],
        jobs=[predict_batches],
        resources=build_task_resources(environment),
        executor=dg.in_process_executor,
    )
    watch = Watch()
    with open_instance(environment) as instance, board.listening(watch):
        instance.add_dynamic_partitions("tasks", [TASK])
        cpu, began = cpu_s(), time.monotonic()
        result = definitions.resolve_job_def(predict_batches.name).execute_in_process(
            instance=instance, partition_key=TASK, raise_on_error=True
        )
        wall = time.monotonic() - began
        spent = cpu_s() - cpu
        events = len(instance.all_logs(result.run_id))
    with database.session(read_only=True) as session:
        (batch,) = batches.list_batches(session)
    assert watch.first is not None
    assert watch.last is not None
    figures: dict[str, Any] = {
        "wall_s": wall,
        "cpu_s": spent,
        "rows_per_s": batch.rows / batch.active_s,
        "intake_s": watch.first[0] - began,
        "active_s": batch.active_s,
        "events": events,
        "by_status": (batch.summary or {})["by_status"],
        "scan_s": resume_scan_s(database, UPath(environment.storage_root), batch),
        "batch": batch.id,
    }
    database.dispose()
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
