"""Job: the whole way of one task."""

import warnings

import dagster as dg

# On purpose: see assets/partitions.py.
warnings.filterwarnings("ignore", "Asset job full_loop materializes assets with varying BackfillPolicies")

full_loop = dg.define_asset_job(
    "full_loop",
    selection=dg.AssetSelection.assets("dataset", "prompt_version", "optimization_run", "evaluation", "promotion"),
    description="From the dataset file to the promoted prompt, in one run.",
)
