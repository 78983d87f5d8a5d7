"""The asset `compression`: a cheaper prompt for production, put to the gate as "not worse and cheaper"."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.compression.metadata import compression_metadata
from assets.evaluations.checks import gate_check, not_put_to_gate
from assets.failures import clear_failures
from assets.one_partition import AssetEvent, OnePartition, each_partition
from assets.optimization.paused import told_when_paused
from assets.partitions import OPTIMIZATION_POLICY, tasks_partitions
from assets.pools import LLM_POOL
from assets.presentation.rows_log import RowsLog
from domain.dataset import DatasetVersion
from domain.identity import content_id, short_id
from resources.catalog_resource import CatalogResource
from resources.comparison.page import FOLDER
from resources.compression.find import find_compression
from resources.compression.picture import draw_front
from resources.compression.run import Compression, CompressionRun
from resources.database.repositories import effort
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.llm.loop_thread import run_interruptibly
from resources.llm_resource import LLMResource
from resources.storage.handles import CompressionHandle, DatasetVersions
from resources.storage_resource import StorageResource


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="optimization",
    kinds={"python"},
    deps=["prompt_version"],
    check_specs=[
        dg.AssetCheckSpec("gate", asset="compression", description="The cheaper prompt is shown to be not worse.")
    ],
    output_required=False,
    backfill_policy=OPTIMIZATION_POLICY,
    code_version="1",
    pool=LLM_POOL,
    description=(
        "Cheaper variants of the prompt in production (fewer or shorter demonstrations, tighter text, shorter answers, "
        "cheaper models), tried on `dev` within the run's cap. The cheapest one that loses little enough there is put "
        "to the gate on the sealed `test` split; `promotion` carries its decision out. Starts by itself only where the "
        "task file says `compress: {start: automatic}`. Cancelled or killed, it goes on where it stopped."
    ),
)
def compression(
    context: dg.AssetExecutionContext,
    dataset: DatasetVersions,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[dg.Output[CompressionHandle] | dg.AssetCheckResult]:
    """Run (on) the compression of each task's production prompt."""

    def compress(one: OnePartition) -> Iterator[AssetEvent]:
        return _compressed(one, dataset.of(one.partition_key), catalog, database, storage, llm)

    yield from each_partition(context, storage.path(), compress)


def _compressed(
    context: OnePartition,
    dataset: DatasetVersion,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[AssetEvent]:
    with clear_failures(context), database.connect() as opened:
        task = catalog.catalog().get(context.partition_key).task
        run = find_compression(opened, task, dataset)
        with told_when_paused(context, opened, run.id):
            found = run_interruptibly(_compress(context, run, opened, storage, llm))
        with opened.session(read_only=True) as session:
            spent = effort.run_effort(session, run.id)
        draw_front(found, storage.path() / FOLDER / f"{short_id(run.id)}.svg")
    decision = found.contest.decision if found.contest else None
    handle = CompressionHandle(
        task=task.name,
        run_id=run.id,
        production_id=found.production.id,
        result_id=found.chosen.id if found.chosen else found.production.id,
        decision_id=decision.id if decision else None,
    )
    version = content_id([run.id, handle.result_id, handle.decision_id or ""])
    yield dg.Output(handle, data_version=dg.DataVersion(version), metadata=compression_metadata(found, spent))
    yield gate_check(found.contest) if found.contest else not_put_to_gate(found.nothing_chosen)


async def _compress(
    context: OnePartition,
    run: CompressionRun,
    database: Database,
    storage: StorageResource,
    llm: LLMResource,
) -> Compression:
    watch = RowsLog(context.log.info, time.monotonic)
    async with llm.aclient(context, budgets=run.task.caps(run.id)) as client:
        return await run.execute(
            database, storage.path(), client, lambda: datetime.now(UTC), watch, context.log.info
        )  # fmt: skip
