"""Job: search anew after production has drifted."""

import warnings

import dagster as dg

# On purpose: see assets/partitions.py.
warnings.filterwarnings("ignore", "Asset job reoptimize materializes assets with varying BackfillPolicies")

reoptimize = dg.define_asset_job(
    "reoptimize",
    selection=dg.AssetSelection.assets("optimization_run", "evaluation"),
    description=(
        "Another search over the task's rows, and an evaluation in which all contenders answer afresh: what production "
        "answered before it drifted says nothing about now."
    ),
)
