"""Job: the whole way of one task."""

import dagster as dg

full_loop = dg.define_asset_job(
    "full_loop",
    selection=dg.AssetSelection.assets("dataset", "prompt_version", "optimization_run", "evaluation", "promotion"),
    description="From the dataset file to the promoted prompt, in one run.",
)
