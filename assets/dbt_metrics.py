"""The dbt project's models as assets, its tests as asset checks."""

import json
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource

from resources.metrics.dbt_project import PreparedProject
from resources.metrics_resource import MetricsResource
from resources.storage.metric_tables import write_missing_tables
from resources.storage_resource import StorageResource

GROUP = "metrics"
EVERYTHING = {"dagster_dbt/select": "fqn:*"}
"""The tag in which `dbt_assets` tells `DbtCliResource.cli` what was selected."""


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
    """The models of a parsed dbt project.

    As `dagster_dbt.dbt_assets` makes them of a whole project; that one asks dbt's selection engine what "everything"
    is, and importing the engine takes a tenth of the time in which the code location loads.
    """
    specs, checks = project_specs(json.loads(prepared.manifest.read_bytes()))

    @dg.multi_asset(name="dbt_metrics", specs=specs, check_specs=checks, can_subset=True, op_tags=EVERYTHING)
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


def project_specs(manifest: Mapping[str, Any]) -> tuple[list[dg.AssetSpec], list[dg.AssetCheckSpec]]:
    """Models as assets, and their tests as checks; a test of several models belongs to the one it names."""
    translator = MetricsTranslator()
    nodes = manifest["nodes"]
    specs: list[dg.AssetSpec] = []
    checks: dict[dg.AssetCheckKey, dg.AssetCheckSpec] = {}
    for name, node in nodes.items():
        if node["resource_type"] != "model" or node["config"]["materialized"] == "ephemeral":
            continue
        spec = translator.get_asset_spec(manifest, name, None)
        specs.append(spec)
        tests = (child for child in manifest["child_map"][name] if nodes.get(child, node)["resource_type"] == "test")
        for test in tests:
            check = translator.get_asset_check_spec(spec, manifest, test, None)
            if check is not None:
                checks[check.key] = check
    return specs, list(checks.values())
