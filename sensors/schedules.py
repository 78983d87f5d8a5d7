"""What starts at a time of day. Dagster makes up a missed tick once: the last one of those that were missed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assets.costs.call_log import CALL_LOG_START
from assets.partitions import tasks_partitions
from jobs.check_production import check_production
from jobs.collect_metrics import collect_metrics
from resources.catalog_resource import CatalogResource
from resources.database.repositories import aliases, ledger_days
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.evaluation.promote import PRODUCTION

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
# Days that lie so close together are one run: an unchanged day between them costs nothing.
SAME_RUN = timedelta(days=7)
ONE_AT_A_TIME = {"promptory/metrics": "marts"}
CHANGED_ONLY = {"ops": {"call_log": {"config": {"changed_only": True}}}}


@dg.schedule(
    job=collect_metrics,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Every hour: the days to which the ledger has added something, late rows of older days included, to Parquet; "
        "then the metric tables. Nothing is started where nothing was added."
    ),
)
def hourly_metrics(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request the days that changed, in as few runs as make sense."""
    with database.connect() as opened:
        changed = days_to_collect(opened)
    if not changed:
        return dg.SkipReason("The ledger has not changed since it was last copied.")
    hour = f"{context.scheduled_execution_time.astimezone(UTC):%Y-%m-%dT%H}"
    return collection_requests(changed, hour)


@dg.schedule(
    job=collect_metrics,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Every night at 00:20 UTC: the day that has ended and all that changed before it, to Parquet; then the metric "
        "tables and their check against the ledger, also where nothing happened."
    ),
)
def daily_metrics(context: dg.ScheduleEvaluationContext, database: DatabaseResource) -> list[dg.RunRequest]:
    """Request the day that has just ended, and what changed earlier."""
    ended = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    with database.connect() as opened:
        changed = days_to_collect(opened)
    # With the day that has begun, where it has calls: an attempt before midnight belongs to a call that ended after it.
    *earlier, (first, last) = _spans(sorted({*changed, ended}))
    requests = [_request(f"{ended}:{start}:{end}", start, end, changed_only=True) for start, end in earlier]
    return [*requests, _request(ended.isoformat(), first, last, changed_only=first != last)]


def collection_requests(changed: Sequence[date], moment: str) -> list[dg.RunRequest]:
    """Runs of `collect_metrics` that copy the `changed` days (ascending, at least one); `moment` makes their keys."""
    return [_request(f"{moment}:{first}:{last}", first, last, changed_only=True) for first, last in _spans(changed)]


def days_to_collect(database: Database) -> list[date]:
    """UTC days to which the ledger has added something since they were copied, oldest first.

    Raises:
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
    """
    with database.session(read_only=True) as session:
        changed = ledger_days.changed_days(session)
    # A writer whose clock is ahead is waited for: that day is no partition yet.
    today = datetime.now(UTC).date()
    return [day for day in changed if date.fromisoformat(CALL_LOG_START) <= day <= today]


def _spans(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """First and last day of each run, from ascending `days`."""
    first = last = days[0]
    for day in days[1:]:
        if day - last > SAME_RUN:
            yield first, last
            first = day
        last = day
    yield first, last


def _request(run_key: str, first: date, last: date, *, changed_only: bool) -> dg.RunRequest:
    days = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}
    config = CHANGED_ONLY if changed_only else {}
    return dg.RunRequest(run_key=run_key, tags={**days, **ONE_AT_A_TIME}, run_config=config)


def nightly_evaluation(time_zone: str) -> dg.ScheduleDefinition:
    """The schedule that checks all production prompts at 02:30 of `time_zone`. It costs money, so it begins stopped."""

    @dg.schedule(
        job=check_production,
        name="nightly_evaluation",
        cron_schedule="30 2 * * *",
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=(
            f"Every night at 02:30 ({time_zone}): every task's production prompt on dev with fresh answers, which are "
            "paid for. Tasks whose file has `schedule: {check_production: …}` keep to that instead."
        ),
    )
    def evaluate_production(
        context: dg.ScheduleEvaluationContext, catalog: CatalogResource, database: DatabaseResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        tasks = [entry.task for entry in catalog.catalog().read().entries]
        with database.connect() as opened, opened.session(read_only=True) as session:
            in_production = {one.task for one in aliases.list_aliases(session) if one.alias == PRODUCTION}
        known = set(context.instance.get_dynamic_partitions(str(tasks_partitions.name)))
        due = [
            task.name
            for task in tasks
            if task.name in in_production & known and not (task.schedule and task.schedule.check_production)
        ]
        if not due:
            return dg.SkipReason("No task has a prompt in production.")
        night = f"{context.scheduled_execution_time:%Y-%m-%d}"
        return [dg.RunRequest(run_key=f"{name}:check_production:{night}", partition_key=name) for name in due]

    return evaluate_production
