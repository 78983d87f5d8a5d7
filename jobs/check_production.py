"""Job: ask the production prompt afresh."""

import dagster as dg

check_production = dg.define_asset_job(
    "check_production",
    selection=dg.AssetSelection.assets("production_score"),
    description="Evaluate the task's production prompt on dev with fresh answers, against its first ones. Costs money.",
)
