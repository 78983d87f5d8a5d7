"""Job: compare candidates with production."""

import dagster as dg

evaluate = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.assets("evaluation"),
    description="Evaluate the task's candidates and production, and record the gate's decision.",
)
