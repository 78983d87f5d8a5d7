"""Job: look for a cheaper prompt."""

import dagster as dg

compress = dg.define_asset_job(
    "compress",
    selection=dg.AssetSelection.assets("compression"),
    description="Try cheaper variants of the task's production prompt. Resumes where a killed run stopped.",
)
