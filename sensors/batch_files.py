"""Sensor: new files in the batch folders, and batches that may go on."""

from datetime import UTC, datetime

import dagster as dg

from assets.failures import PERMANENT_FAILURE_TAG
from assets.partitions import tasks_partitions
from jobs.predict_batches import predict_batches
from resources.batch_inference.due import DueTask, due_tasks
from resources.catalog_resource import CatalogResource
from resources.database.repositories import tasks
from resources.database_resource import DatabaseResource

INTERVAL_S = 30
AGAIN_AFTER_S = 900
PARTITION_TAG = "dagster/partition"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=predict_batches,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Watches `batches/<task>/`. Whatever is new there, however many files, is one run of the task at a time, which "
        "takes everything in; files that come meanwhile wait for the next one. Batches that were interrupted or whose "
        "budget may be there again go on, too."
    ),
)
def batch_files(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Request one run for every task that has batch work and no run at it."""
    now = datetime.now(UTC)
    with database.connect() as opened:
        with opened.session(read_only=True) as session:
            known = [record.name for record in tasks.list_tasks(session)]
        due = due_tasks(opened, catalog.batch_root(), known, now)
    busy = tasks_with_a_run(context.instance) if due else set()
    wanted = [one for one in due if one.task not in busy]
    missing = [one.task for one in wanted if not context.instance.has_dynamic_partition("tasks", one.task)]
    return dg.SensorResult(
        run_requests=[request_for(one, last_failure(context.instance, one.task, now)) for one in wanted],
        dynamic_partitions_requests=[tasks_partitions.build_add_request(missing)] if missing else [],
        cursor=context.cursor,
        skip_reason=None if wanted else f"{len(known)} tasks, {len(due)} with work, {len(due)} of them have a run.",
    )


def request_for(due: DueTask, after: str | None = None) -> dg.RunRequest:
    """One run of the task; the same as long as the same is to be done and no run `after` which it is to be tried again.

    Dagster starts no second run for a request it has met.
    """
    return dg.RunRequest(
        run_key=f"{due.task}:{due.key}" + (f":{after}" if after else ""),
        partition_key=due.task,
        tags={"promptory/batch_files": str(due.files), "promptory/open_batches": str(due.batches)},
    )


def last_failure(instance: dg.DagsterInstance, task: str, now: datetime) -> str | None:
    """The id of the task's last run, where it failed a while ago and not for what only a person can mend.

    A store or server that was away for longer than Dagster's own retries take may be there again.
    """
    of_task = dg.RunsFilter(job_name=predict_batches.name, tags={PARTITION_TAG: task})
    for record in instance.get_run_records(of_task, limit=1):
        run = record.dagster_run
        if run.status is dg.DagsterRunStatus.FAILURE and PERMANENT_FAILURE_TAG not in run.tags:
            return run.run_id if now.timestamp() - (record.end_time or 0) >= AGAIN_AFTER_S else None
    return None


def tasks_with_a_run(instance: dg.DagsterInstance) -> set[str]:
    """Tasks at whose batches a run is already."""
    filters = dg.RunsFilter(job_name=predict_batches.name, statuses=UNFINISHED)
    return {run.tags[PARTITION_TAG] for run in instance.get_runs(filters) if PARTITION_TAG in run.tags}
