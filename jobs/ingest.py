"""Job: read a task's files."""

import dagster as dg

ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.assets("dataset", "prompt_version"),
    description="Read a task's file and its dataset, and register what is new. Sensors launch this.",
)
