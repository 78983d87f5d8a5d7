"""The asset `dataset`: a task's files, validated, normalised, split and snapshotted."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.datasets.quality import (
    Finding,
    balance_finding,
    duplicates_finding,
    leakage_finding,
    near_leakage_finding,
    schema_finding,
    sealed_test_finding,
)
from assets.failures import clear_failures
from assets.one_partition import AssetEvent, OnePartition, each_partition
from assets.partitions import INGEST_POLICY, tasks_partitions
from assets.presentation.charts import count_chart
from assets.presentation.tables import markdown_table
from domain.dataset import DatasetVersion
from domain.errors import NotFoundError
from domain.prompt import PromptVersion
from domain.rendering import fields_read
from resources.catalog.snapshot import Snapshot, moves_since_other, take_snapshot
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.storage.datasets import DatasetStore
from resources.storage_resource import StorageResource

PREVIEW_ROWS = 8
QUARANTINE_ROWS = 20
SHOWN_SOURCES = 50
"""Of a version that was read from more files, the newest so many: the database has all of them."""

CHECKS = [
    dg.AssetCheckSpec("schema", asset="dataset", description="Every row has the declared columns and answers."),
    dg.AssetCheckSpec("duplicate_rows", asset="dataset", description="No row stands twice."),
    dg.AssetCheckSpec(
        "split_leakage",
        asset="dataset",
        blocking=True,
        description="No test row looks the same to the prompt as a train or dev row.",
    ),
    dg.AssetCheckSpec(
        "near_leakage", asset="dataset", description="No test row is a train row with other punctuation."
    ),
    dg.AssetCheckSpec(
        "sealed_test", asset="dataset", description="No row of an earlier version has come into test or left it."
    ),
    dg.AssetCheckSpec("label_balance", asset="dataset", description="Every label has rows to learn from."),
]

ERRORS = ("split_leakage", "sealed_test")


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="datasets",
    kinds={"parquet"},
    check_specs=CHECKS,
    output_required=False,
    backfill_policy=INGEST_POLICY,
    code_version="1",
    description=(
        "The rows of a task: its source file and everything dropped into `landing/<task>/`, validated, normalised and "
        "dealt to train, dev and test by the hash of their input, stored as an immutable Parquet snapshot. Rows that "
        "cannot be used are quarantined and listed. The same content always gives the same version."
    ),
)
def dataset(
    context: dg.AssetExecutionContext, catalog: CatalogResource, database: DatabaseResource, storage: StorageResource
) -> Iterator[dg.Output[DatasetVersion] | dg.AssetCheckResult]:
    """Snapshot each task's dataset."""
    yield from each_partition(context, storage.path(), lambda one: _snapshot(one, catalog, database, storage))


def _snapshot(
    context: OnePartition, catalog: CatalogResource, database: DatabaseResource, storage: StorageResource
) -> Iterator[AssetEvent]:
    with clear_failures(context), database.connect() as opened:
        entry = catalog.catalog().get(context.partition_key)
        store = DatasetStore(storage.path())
        snapshot = take_snapshot(entry, catalog.landing_root(), opened, store, datetime.now(UTC))
        sealed = _sealed_test(snapshot, opened, store)
    yield dg.Output(
        snapshot.version, data_version=dg.DataVersion(snapshot.version.id), metadata=_metadata(snapshot, storage)
    )
    yield from _checks(snapshot, entry.task.prompt.version(), sealed)


def _sealed_test(snapshot: Snapshot, database: Database, store: DatasetStore) -> Finding:
    import pyarrow as pa

    try:
        return sealed_test_finding(*moves_since_other(snapshot, database, store))
    except (NotFoundError, OSError, pa.ArrowException) as error:  # the earlier file's fault, not this version's
        return Finding(False, f"Cannot be told: {error}")


def _checks(snapshot: Snapshot, prompt: PromptVersion, sealed: Finding) -> Iterator[dg.AssetCheckResult]:
    read = fields_read(prompt)
    findings: dict[str, Finding] = {
        "schema": schema_finding(snapshot.quarantined, snapshot.version.rows),
        "duplicate_rows": duplicates_finding(snapshot.quarantined),
        "split_leakage": leakage_finding(snapshot.rows, read),
        "near_leakage": near_leakage_finding(snapshot.rows, read),
        "sealed_test": sealed,
        "label_balance": balance_finding(snapshot.rows, prompt.steps[-1].output),
    }
    for name, finding in findings.items():
        severity = dg.AssetCheckSeverity.ERROR if name in ERRORS else dg.AssetCheckSeverity.WARN
        yield dg.AssetCheckResult(
            check_name=name,
            passed=finding.passed,
            severity=severity,
            description=finding.sentence,
            metadata={"finding": finding.sentence},
        )


def _metadata(snapshot: Snapshot, storage: StorageResource) -> dict[str, Any]:
    version = snapshot.version
    preview = [[row.split, *row.inputs.values(), row.output] for row in snapshot.rows[:PREVIEW_ROWS]]
    fields = list(snapshot.rows[0].inputs)
    metadata: dict[str, Any] = {
        "dataset_version": version.version,
        "dataset_version_id": version.id,
        "dagster/row_count": version.rows,
        "split_rows": version.split_rows,
        "quarantined_rows": version.quarantined,
        "files": len(version.sources),
        "sources": [dict(source) for source in version.sources[-SHOWN_SOURCES:]],
        "rows": dg.MetadataValue.path(str(storage.path() / version.storage_path)),
        "preview": dg.MetadataValue.md(markdown_table(["split", *fields, "expected"], preview)),
    }
    labels = Counter(row.output for row in snapshot.rows if isinstance(row.output, str))
    if labels and len(labels) < len(snapshot.rows) / 2:
        metadata["label_counts"] = dg.MetadataValue.md(count_chart("Rows by label", dict(labels)))
    if snapshot.quarantined:
        rows = [[row.row, row.kind, row.field or "", row.problem] for row in snapshot.quarantined[:QUARANTINE_ROWS]]
        metadata["quarantine"] = dg.MetadataValue.md(markdown_table(["row", "kind", "field", "problem"], rows))
    return metadata
