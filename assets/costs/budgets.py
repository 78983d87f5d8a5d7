"""The budgets now, as Parquet."""

from datetime import UTC, datetime

import dagster as dg

from domain.pricing import nano_to_usd
from resources.llm.budget_summary import BudgetLine
from resources.llm_resource import LLMResource
from resources.storage.metric_tables import write_budgets
from resources.storage_resource import StorageResource


@dg.asset(
    group_name="costs",
    kinds={"parquet"},
    description="Caps, what is gone and left of them, and the month's projection, as the execution core sees them now.",
)
def budgets(llm: LLMResource, storage: StorageResource) -> dg.MaterializeResult:
    """One row per scope that is capped or was charged lately."""
    with llm.client() as client:
        lines: tuple[BudgetLine, ...] = client.budget_summary()
    written = write_budgets(lines, storage.path(), datetime.now(UTC))
    return dg.MaterializeResult(
        metadata={
            "scopes": written.rows,
            "budgets": dg.MetadataValue.md(_table(lines)),
            "path": dg.MetadataValue.path(str(written.path)),
        }
    )


def _table(lines: tuple[BudgetLine, ...]) -> str:
    rows = [
        f"| {line.window} | {_usd(line.cap_nano_usd)} | {_usd(line.spent_nano_usd + line.ambiguous_nano_usd)} "
        f"| {_usd(line.remaining_nano_usd)} | {_usd(line.month_projection_nano_usd)} |"
        for line in lines
        if line.cap_nano_usd is not None
    ]
    if not rows:
        return "No budget has a cap."
    return "\n".join(["| budget | cap | gone | left | month, projected |", "|---|---:|---:|---:|---:|", *rows])


def _usd(nano: int | None) -> str:
    return "-" if nano is None else f"{nano_to_usd(nano):.4f}"
