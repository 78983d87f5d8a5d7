"""What starts at a time of day."""

from datetime import UTC, timedelta

import dagster as dg

from jobs.collect_metrics import collect_metrics

# Attempts of a killed process are booked when they are found, under the day on which they started.
DAYS_COLLECTED = 3
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


@dg.schedule(
    job=collect_metrics,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 00:20 UTC: the last three days of the ledger to Parquet, then the metric tables.",
)
def daily_metrics(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the days that have just ended, in one run."""
    last = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    first = last - timedelta(days=DAYS_COLLECTED - 1)
    return dg.RunRequest(run_key=last.isoformat(), tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()})
