"""The check that the marts hold the ledger's money, to the nano-dollar, day by day."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.dbt_metrics import GROUP
from resources.database_resource import DatabaseResource
from resources.metrics.reconciliation import DayDifference, reconcile
from resources.metrics_resource import MetricsResource

LIVE_DAYS = 7
SHOWN = 20


@dg.asset_check(
    asset=dg.AssetKey([GROUP, "usage_by_day"]),
    name="ledger_equals_marts",
    blocking=True,
    description=(
        "Every exported day has in the marts the calls, attempts and nano-dollars that its export had, and each of the "
        f"last {LIVE_DAYS} days those that the ledger has now. A day that the ledger has added to since is left for "
        "the next collection."
    ),
)
def ledger_equals_marts(database: DatabaseResource, metrics: MetricsResource) -> dg.AssetCheckResult:
    """Fail, and so fail the run, when any day differs."""
    since = datetime.now(UTC).date() - timedelta(days=LIVE_DAYS - 1)
    with database.connect() as opened, metrics.connect() as marts:
        found = reconcile(opened, marts, since)
    return dg.AssetCheckResult(
        passed=not found.differences,
        severity=dg.AssetCheckSeverity.ERROR,
        description=found.sentence,
        metadata={
            "days": found.days,
            "days_read_from_the_ledger": found.days_read,
            "growing_days": found.growing,
            "difference_nano_usd": dg.MetadataValue.int(sum(abs(one.nano_usd) for one in found.differences)),
            "differences": dg.MetadataValue.md(_table(found.differences)),
        },
    )


def _table(differences: tuple[DayDifference, ...]) -> str:
    if not differences:
        return "None."
    rows = [
        f"| {one.day} | {one.against} | {one.expected.cost_nano_usd} | {one.found.cost_nano_usd} "
        f"| {one.expected.attempts} | {one.found.attempts} | {one.expected.calls} | {one.found.calls} |"
        for one in differences[:SHOWN]
    ]
    head = "| day | against | nano-USD there | in the marts | attempts | in the marts | calls | in the marts |"
    return "\n".join([head, "|---|---|---:|---:|---:|---:|---:|---:|", *rows])
