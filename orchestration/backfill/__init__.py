"""Making assets again (or for the first time) for many partitions: what it would take, starting, watching, stopping it.

    from orchestration import backfill

    planned = backfill.plan(["evaluation", "promotion"], "all")
    print(planned.runs, planned.calls, planned.cost_nano_usd)
    started = backfill.launch(["evaluation", "promotion"], "all", key="after-the-new-model")
    print(backfill.wait(started.key).failed)

See docs/backfill.md.
"""

from orchestration.backfill.api import cancel, launch, list_backfills, plan, status, wait
from orchestration.backfill.types import (
    AssetPlan,
    Backfill,
    PartitionFailure,
    Plan,
    RunSummary,
    State,
    Status,
    Way,
)

__all__ = [
    "AssetPlan",
    "Backfill",
    "PartitionFailure",
    "Plan",
    "RunSummary",
    "State",
    "Status",
    "Way",
    "cancel",
    "launch",
    "list_backfills",
    "plan",
    "status",
    "wait",
]
