"""Job: carry out the gate's decision."""

import dagster as dg

promote = dg.define_asset_job(
    "promote",
    selection=dg.AssetSelection.assets("promotion"),
    description="Move the production alias where the recorded decision says so; does nothing after a rejection.",
)
