"""Schedules that keep the database small. Each is on only where the environment says how long things are kept."""

import dagster as dg

from jobs.compact_ledger import compact_ledger
from jobs.retention import database_retention

# Marts are read and files compared while nobody builds them.
ONE_AT_A_TIME = {"promptory/metrics": "marts"}


def ledger_compaction(time_zone: str, keep_days: int | None) -> dg.ScheduleDefinition:
    """Every night at 03:40: days of the ledger older than `keep_days` to Parquet only."""

    @dg.schedule(
        job=compact_ledger,
        name="ledger_compaction",
        cron_schedule="40 3 * * *",
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.STOPPED if keep_days is None else dg.DefaultScheduleStatus.RUNNING,
        description=(
            f"Every night at 03:40 ({time_zone}): old days of the ledger are kept as Parquet only, once every row was "
            "found there and the marts hold their money. On where PROMPTORY_LEDGER_KEEP_DAYS is set."
        ),
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if keep_days is None:
            return dg.SkipReason("PROMPTORY_LEDGER_KEEP_DAYS is not set: the database keeps the whole ledger.")
        config = {"ops": {"compact": {"config": {"keep_days": keep_days}}}}
        return dg.RunRequest(run_key=_night(context), run_config=config, tags=ONE_AT_A_TIME)

    return schedule


def retention(
    time_zone: str, journal_keep_days: int | None, dagster_runs_keep_days: int | None
) -> dg.ScheduleDefinition:
    """Every night at 04:10: what is older than its number of days is dropped."""
    kept = {"journal_keep_days": journal_keep_days, "dagster_runs_keep_days": dagster_runs_keep_days}
    config = {name: days for name, days in kept.items() if days is not None}

    @dg.schedule(
        job=database_retention,
        name="database_retention",
        cron_schedule="10 4 * * *",
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING if config else dg.DefaultScheduleStatus.STOPPED,
        description=(
            f"Every night at 04:10 ({time_zone}): journals of finished optimization runs and failed Dagster runs. On "
            "where PROMPTORY_JOURNAL_KEEP_DAYS or PROMPTORY_DAGSTER_RUNS_KEEP_DAYS is set."
        ),
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not config:
            return dg.SkipReason("Neither PROMPTORY_JOURNAL_KEEP_DAYS nor PROMPTORY_DAGSTER_RUNS_KEEP_DAYS is set.")
        return dg.RunRequest(run_key=_night(context), run_config={"ops": {"drop_old": {"config": config}}})

    return schedule


def _night(context: dg.ScheduleEvaluationContext) -> str:
    return f"{context.scheduled_execution_time:%Y-%m-%d}"
