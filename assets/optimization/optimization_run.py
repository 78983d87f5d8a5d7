"""The asset `optimization_run`: a search for a better prompt, on train and dev only."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from assets.failures import clear_failures
from assets.one_partition import AssetEvent, OnePartition, each_partition
from assets.optimization.live_view import LiveView
from assets.optimization.metadata import run_metadata
from assets.optimization.paused import told_when_paused
from assets.partitions import OPTIMIZATION_POLICY, tasks_partitions
from assets.pools import LLM_POOL
from domain.dataset import DatasetVersion
from domain.identity import content_id
from resources.call_metadata import CallMetadata
from resources.catalog_resource import CatalogResource
from resources.database.repositories import effort, prompt_versions
from resources.database_resource import DatabaseResource
from resources.llm_resource import LLMResource
from resources.optimization.run_optimization import OptimizationRun
from resources.storage.handles import DatasetVersions, OptimizationHandle, PromptHandle, PromptHandles
from resources.storage_resource import StorageResource


class OptimizationConfig(dg.Config):
    """Whether the search is the task's, or another one."""

    seed_offset: int = Field(
        default=0,
        ge=0,
        description="Added to the optimizer's seed: another search over the same rows, with its own run and cap.",
    )


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="optimization",
    kinds={"python"},
    output_required=False,
    backfill_policy=OPTIMIZATION_POLICY,
    code_version="1",
    pool=LLM_POOL,
    description=(
        "The task's optimizer (DSPy) searches demonstrations or instructions on `train` and scores them on `dev`; the "
        "test split is out of its reach. Every answer is journalled: a killed run goes on where it stopped, a finished "
        "one is never paid for again, and all its calls count against its own cap. Cancelled, it keeps the best prompt "
        "so far and goes on where it stopped when it is run again."
    ),
)
def optimization_run(
    context: dg.AssetExecutionContext,
    config: OptimizationConfig,
    dataset: DatasetVersions,
    prompt_version: PromptHandles,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[dg.Output[OptimizationHandle] | dg.AssetCheckResult]:
    """Run (on) each task's optimization."""

    def optimize(one: OnePartition) -> Iterator[AssetEvent]:
        inputs = dataset.of(one.partition_key), prompt_version.of(one.partition_key)
        return _optimize(one, config, *inputs, catalog, database, storage, llm)

    yield from each_partition(context, storage.path(), optimize)


def _optimize(
    context: OnePartition,
    config: OptimizationConfig,
    dataset: DatasetVersion,
    prompt_version: PromptHandle,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[AssetEvent]:
    with clear_failures(context), database.connect() as opened:
        task = catalog.catalog().get(context.partition_key).task
        with opened.session(read_only=True) as session:
            parent = prompt_versions.get(session, task.name, prompt_version.prompt_version_id)
            run = OptimizationRun(task, parent, dataset, session, seed_offset=config.seed_offset)
        plan = run.plan(storage.path(), llm.settings(task.caps(run.id)))
        context.log.info(plan.sentence())
        watch = LiveView(context.log.info, time.monotonic)
        # `CallMetadata` for finished runs: they open no core, and so have a cost of 0.
        with told_when_paused(context, opened, run.id), CallMetadata(context):
            record = run.execute(
                opened,
                storage.path(),
                lambda: llm.client(context, budgets=task.caps(run.id)),
                lambda: datetime.now(UTC),
                watch,
            )
        with opened.session(read_only=True) as session:
            result = prompt_versions.get(session, task.name, record.result_prompt_version_id or parent.id)
            spent = effort.run_effort(session, run.id)
    handle = OptimizationHandle(
        task=task.name,
        run_id=run.id,
        parent_id=parent.id,
        dataset_version_id=dataset.id,
        result_id=result.id,
        reference_ids=record.reference_prompt_version_ids,
    )
    version = dg.DataVersion(content_id([run.id, result.id]))
    yield dg.Output(handle, data_version=version, metadata=run_metadata(record, result, parent, spent, plan))
