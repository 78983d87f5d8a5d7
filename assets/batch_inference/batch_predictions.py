"""The asset `batch_predictions`: a task's unlabelled files, answered by its production prompt."""

import asyncio
import signal
import time
from datetime import UTC, datetime

import dagster as dg
from upath import UPath

from assets.batch_inference.live_view import BatchLog
from assets.batch_inference.metadata import drained_metadata
from assets.failures import clear_failures
from assets.partitions import tasks_partitions
from assets.pools import LLM_POOL
from domain.identity import content_id
from domain.task import Task
from resources.batch_inference.drain import Drain, Drained
from resources.batch_inference.signals import stop_on_signals
from resources.batch_inference.worker import open_worker
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.llm_resource import LLMResource
from resources.storage_resource import StorageResource


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="batch_inference",
    kinds={"parquet"},
    deps=["promotion"],
    code_version="1",
    pool=LLM_POOL,
    description=(
        "Unlabelled rows answered by the task's production prompt: one run takes in every new file of "
        "`batches/<task>/` and works through all batches that may go on, many files at once. Each row is paid for "
        "once, whenever the run is killed; what is paused goes on with the next run. Results are Parquet in row order."
    ),
)
def batch_predictions(
    context: dg.AssetExecutionContext,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> dg.MaterializeResult:
    """Drain one task."""
    with clear_failures(context), database.connect() as opened:
        task = catalog.catalog().get(context.partition_key).task
        drained, signals = asyncio.run(_drain(context, task, opened, storage.path(), catalog.batch_root(), llm))
    if signals:
        signal.raise_signal(signals[0])  # now Dagster may end the run: everything under way is answered and kept
    version = content_id(sorted([record.id, record.claim] for record in drained.batches))
    return dg.MaterializeResult(
        metadata=drained_metadata(drained, storage.path()), data_version=dg.DataVersion(version)
    )


async def _drain(
    context: dg.AssetExecutionContext, task: Task, database: Database, root: UPath, folder: UPath, llm: LLMResource
) -> tuple[Drained, list[int]]:
    log = BatchLog(context.log.info, time.monotonic)
    async with (
        llm.aclient(context, budgets=task.caps()) as client,
        open_worker(
            database,
            root,
            client,
            concurrency=task.batch.concurrency,
            run_id=context.run.run_id,
            listener=log,
        ) as worker,
    ):
        with stop_on_signals(worker.interrupt) as received:
            drain = Drain(database, root, folder, task, worker, lambda: datetime.now(UTC))
            return await drain.run(), received
