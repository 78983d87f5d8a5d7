"""What starts at a time of day."""

from datetime import UTC, timedelta

import dagster as dg

from jobs.collect_metrics import collect_metrics


@dg.schedule(
    job=collect_metrics,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 00:20 UTC: yesterday's ledger to Parquet, then the metric tables.",
)
def daily_metrics(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the day that has just ended."""
    day = (context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=day, partition_key=day)
