"""The dbt project's models as assets, its tests as asset checks."""

import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets

from resources.metrics.dbt_project import PreparedProject
from resources.metrics_resource import MetricsResource
from resources.storage.metric_tables import write_missing_tables
from resources.storage_resource import StorageResource

GROUP = "metrics"


class MetricsTranslator(DagsterDbtTranslator):
    """Models live under `metrics/`; sources are the assets that write the Parquet."""

    def __init__(self) -> None:
        # `call_log` writes two of dbt's sources.
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """`metrics/<model>`; a source's key is in its `meta`."""
        key = super().get_asset_key(dbt_resource_props)
        return key if dbt_resource_props["resource_type"] == "source" else key.with_prefix(GROUP)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002 - one group for all
        """`metrics`."""
        return GROUP

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The model's own words, without its SQL."""
        return dbt_resource_props["description"]


def build_dbt_metrics(prepared: PreparedProject) -> dg.AssetsDefinition:
    """The models of a parsed dbt project."""

    @dbt_assets(manifest=prepared.manifest, dagster_dbt_translator=MetricsTranslator(), name="dbt_metrics")
    def dbt_metrics(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, metrics: MetricsResource, storage: StorageResource
    ) -> Iterator[Any]:
        """Build what changed, then test it; a failed test fails the run and leaves dbt's log."""
        root = storage.path()
        write_missing_tables(root)
        folder = metrics.run_folder(context.run.run_id)
        arguments = ["build", *metrics.dbt_arguments(root), *metrics.refresh_arguments(prepared.fingerprint)]
        yield from dbt.cli(arguments, context=context, target_path=folder).stream()
        shutil.rmtree(folder)
        if not context.is_subset:
            metrics.built_with(prepared.fingerprint)

    return dbt_metrics
