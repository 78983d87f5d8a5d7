"""The dashboard: one page over the metric tables."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from assets.dbt_metrics import GROUP
from resources.metrics_resource import MetricsResource
from resources.storage.atomic import write_atomically
from resources.storage_resource import StorageResource

PAGE_FILE = "dashboard.html"
DAYS = 30
READ = (
    "cost_by_day",
    "cost_by_task",
    "latency_percentiles",
    "evaluation_history",
    "budget_burn",
)


@dg.asset(
    group_name=GROUP,
    kinds={"html"},
    deps=[dg.AssetKey([GROUP, mart]) for mart in READ],
    description=(
        f"The last {DAYS} days at a glance: cost by task, test scores with their intervals, latency, cache and "
        f"fallback rates, budgets. One HTML page, `{PAGE_FILE}` below the storage root; `promptory dashboard` opens it."
    ),
)
def dashboard(metrics: MetricsResource, storage: StorageResource) -> dg.MaterializeResult:
    """Read the marts, draw, write the page."""
    from assets.presentation.charts import as_markdown
    from assets.presentation.dashboard_charts import cost_figure, score_figure
    from assets.presentation.dashboard_page import dashboard_page, headline
    from resources.metrics.dashboard import read_dashboard

    made_at = datetime.now(UTC)
    with metrics.connect() as marts:
        found = read_dashboard(marts, DAYS, made_at.date())
    page = dashboard_page(found, made_at).encode()
    path = storage.path() / PAGE_FILE
    write_atomically(path, lambda stream: stream.write(page))
    shares = {"cache_hit_rate": found.hit_rate[-1], "fallback_rate": found.fallback_rate[-1]}
    return dg.MaterializeResult(
        metadata={
            "headline": dg.MetadataValue.md(_table(headline(found))),
            "cost": dg.MetadataValue.md(as_markdown(cost_figure(found), "Cost by day and task")),
            "scores": dg.MetadataValue.md(
                as_markdown(score_figure(found), "Scores") if found.scores else "No evaluation yet."
            ),
            # Plain numbers, so that Dagster plots them over the materializations.
            "cost_usd": found.cost_nano_usd / 1e9,
            "calls": found.calls,
            **{name: share for name, share in shares.items() if share is not None},
            "path": dg.MetadataValue.path(str(path)),
        }
    )


def _table(lines: Sequence[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---:|", *(f"| {told} | {value} |" for told, value in lines)])
