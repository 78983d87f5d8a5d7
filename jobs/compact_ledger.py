"""Job: old days of the ledger to Parquet only."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from resources.database_resource import DatabaseResource
from resources.metrics.reconciliation import mart_sums
from resources.metrics_resource import MetricsResource
from resources.storage.call_log import write_day_index
from resources.storage.compaction import compact_day, days_to_compact, finish_removals
from resources.storage.keeping import SHORTEST_KEEP_DAYS
from resources.storage_resource import StorageResource

MOST_DAYS = 31


class CompactionConfig(dg.Config):
    """How far back the database keeps the ledger."""

    keep_days: int = Field(ge=SHORTEST_KEEP_DAYS, description="Older days are removed, once their files are verified.")
    most_days: int = Field(
        default=MOST_DAYS, ge=1, description="So many days at most are removed by one run, the oldest first."
    )


@dg.op(description="Verify each old day's files and marts against the ledger, then remove its rows from the database.")
def compact(
    context: dg.OpExecutionContext,
    config: CompactionConfig,
    database: DatabaseResource,
    storage: StorageResource,
    metrics: MetricsResource,
) -> None:
    """Compact what is due; a day that cannot be verified stays and says why."""
    root, now = storage.path(), datetime.now(UTC)
    with metrics.connect() as marts:
        sums = mart_sums(marts)
    with database.connect() as opened:
        done = finish_removals(opened, root)
        left = config.most_days
        for day in days_to_compact(opened, now.date(), config.keep_days):
            if not left:
                break
            done.append(compact_day(opened, root, sums, day, now))
            left -= done[-1].kept_because is None
        write_day_index(opened, root)
    for one in done:
        if one.kept_because:
            context.log.warning(f"{one.day} stays in the database: {one.kept_because}.")
        else:
            context.log.info(f"{one.day}: {one.removed_calls} calls and {one.removed_attempts} attempts removed.")
    context.add_output_metadata(
        {
            "days": sum(one.kept_because is None for one in done),
            "days_kept": sum(one.kept_because is not None for one in done),
            "calls": sum(one.removed_calls for one in done),
            "attempts": sum(one.removed_attempts for one in done),
        }
    )


@dg.job(
    name="compact_ledger",
    description="Give old days of the ledger over to their Parquet files, after comparing every row.",
)
def compact_ledger() -> None:
    """The one op."""
    compact()
