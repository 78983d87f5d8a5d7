"""Job: answer a task's unlabelled files."""

import dagster as dg

batch_predictions = dg.define_asset_job(
    "batch_predictions",
    selection=dg.AssetSelection.assets("batch_predictions"),
    description="Take in the task's new batch files and answer all its batches that may go on.",
)
