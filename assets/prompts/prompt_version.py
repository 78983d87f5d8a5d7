"""The asset `prompt_version`: the prompt a person wrote in the task file, registered."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from assets.failures import clear_failures
from assets.one_partition import AssetEvent, OnePartition, each_partition
from assets.partitions import INGEST_POLICY, tasks_partitions
from assets.prompts.metadata import prompt_metadata
from resources.catalog_resource import CatalogResource
from resources.database.repositories import aliases, prompt_versions, tasks
from resources.database_resource import DatabaseResource
from resources.evaluation.promote import PRODUCTION
from resources.storage.handles import PromptHandle
from resources.storage_resource import StorageResource


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="prompts",
    kinds={"yaml"},
    output_required=False,
    backfill_policy=INGEST_POLICY,
    code_version="1",
    description=(
        "The prompt as written in `catalog/tasks/<task>.yaml`: steps, model and parameters, stored under the SHA-256 "
        "of exactly these. The first one of a task becomes production; every later one must win at the gate."
    ),
)
def prompt_version(
    context: dg.AssetExecutionContext, catalog: CatalogResource, database: DatabaseResource, storage: StorageResource
) -> Iterator[dg.Output[PromptHandle] | dg.AssetCheckResult]:
    """Register each task's authored prompt."""
    yield from each_partition(context, storage.path(), lambda one: _register(one, catalog, database))


def _register(context: OnePartition, catalog: CatalogResource, database: DatabaseResource) -> Iterator[AssetEvent]:
    with clear_failures(context), database.connect() as opened, opened.session() as session:
        entry = catalog.catalog().get(context.partition_key)
        task, prompt, now = entry.task, entry.task.prompt.version(), datetime.now(UTC)
        tasks.upsert_task(session, task, source_path=str(entry.path), now=now)
        record = prompt_versions.register(session, task.name, prompt, created_by="author", now=now)
        if aliases.find(session, task.name, PRODUCTION) is None:
            move = partial(aliases.move, session, task.name, PRODUCTION, prompt.id, expected_revision=None)
            move(moved_by="author", reason="The task's first prompt.", now=now)
    handle = PromptHandle(task=task.name, prompt_version_id=prompt.id, version=record.version)
    metadata = {"prompt_version": record.version, "prompt_version_id": prompt.id, **prompt_metadata(prompt)}
    yield dg.Output(handle, data_version=dg.DataVersion(prompt.id), metadata=metadata)
