"""Job: ledger to dashboards."""

import dagster as dg

collect_metrics = dg.define_asset_job(
    "collect_metrics",
    selection=dg.AssetSelection.groups("costs", "metrics"),
    description="Copy the ledger's day to Parquet and rebuild the metric tables.",
)
