"""Job: look at a live experiment."""

import dagster as dg

report_experiment = dg.define_asset_job(
    "report_experiment",
    selection=dg.AssetSelection.assets("experiment_report"),
    description="Analyse what a live experiment has recorded; stop it where it is decided or a guardrail is broken.",
)
