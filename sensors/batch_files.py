"""Sensor: new files in the batch folders, and batches that may go on."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from assets.partitions import tasks_partitions
from assets.permanent_failure import PERMANENT_FAILURE_TAG
from jobs.predict_batches import predict_batches
from resources.batch_inference.due import DueTask, due_tasks
from resources.catalog_resource import CatalogResource
from resources.database.repositories import tasks
from resources.database_resource import DatabaseResource
from sensors.asking_again import Failures

INTERVAL_S = 30
WORK_TAG = "promptory/batch_work"
PARTITION_TAG = "dagster/partition"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
OVER = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


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
    with database.connect() as opened:
        with opened.session(read_only=True) as session:
            known = [record.name for record in tasks.list_tasks(session)]
        now = datetime.now(UTC)
        due = due_tasks(opened, catalog.batch_root(), known, now)
    busy = tasks_with_a_run(context.instance) if due else set()
    wanted = [one for one in due if one.task not in busy]
    missing = [one.task for one in wanted if not context.instance.has_dynamic_partition("tasks", one.task)]
    return dg.SensorResult(
        run_requests=requests_for(context.instance, wanted, now),
        dynamic_partitions_requests=[tasks_partitions.build_add_request(missing)] if missing else [],
        cursor=context.cursor,
        skip_reason=None if wanted else f"{len(known)} tasks, {len(due)} with work, {len(due)} of them have a run.",
    )


def requests_for(instance: dg.DagsterInstance, wanted: Sequence[DueTask], now: datetime) -> list[dg.RunRequest]:
    """One run for each task; the same as long as the same is to be done and no run for it failed a while ago.

    Dagster starts no second run for a request it has met.
    """
    failures = _failures(instance, wanted, now)
    return [
        dg.RunRequest(
            run_key=f"{key}:{failures[key]}" if key in failures else key,
            partition_key=due.task,
            tags={
                WORK_TAG: due.key,
                "promptory/batch_files": str(due.files),
                "promptory/open_batches": str(due.batches),
            },
        )
        for due in wanted
        for key in [f"{due.task}:{due.key}"]
    ]


def _failures(instance: dg.DagsterInstance, wanted: Sequence[DueTask], now: datetime) -> dict[str, int]:
    """By run key: how many runs for exactly that failed or were terminated, the last of them a while ago; none that a
    person must mend.

    A run that has begun leaves other work behind (a file that is taken in, another claim), and is no longer found. A
    store or server that was away for longer than Dagster's own retries take may be there again.
    """
    if not wanted:
        return {}
    ended = dg.RunsFilter(tags={WORK_TAG: [due.key for due in wanted]}, statuses=OVER)
    found: dict[str, Failures] = {}
    for record in instance.get_run_records(ended):
        tags = record.dagster_run.tags
        if PERMANENT_FAILURE_TAG not in tags:
            found.setdefault(f"{tags[PARTITION_TAG]}:{tags[WORK_TAG]}", Failures()).add(record, now)
    return {key: failures.asked for key, failures in found.items() if failures.are_over(now)}


def tasks_with_a_run(instance: dg.DagsterInstance) -> set[str]:
    """Tasks at whose batches a run is already."""
    filters = dg.RunsFilter(job_name=predict_batches.name, statuses=UNFINISHED)
    return {run.tags[PARTITION_TAG] for run in instance.get_runs(filters) if PARTITION_TAG in run.tags}
