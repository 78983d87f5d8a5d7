"""Job: search for a better prompt."""

import dagster as dg

optimize = dg.define_asset_job(
    "optimize",
    selection=dg.AssetSelection.assets("optimization_run"),
    description="Run the task's optimizer on its newest dataset and prompt. Resumes where a killed run stopped.",
)
