"""Job: answer a task's unlabelled files."""

import dagster as dg

predict_batches = dg.define_asset_job(
    "predict_batches",
    selection=dg.AssetSelection.assets("batch_predictions"),
    description="Take in the task's new batch files and answer all its batches that may go on.",
)
