"""Sensor: experiment files, and what running experiments recorded."""

from collections.abc import Iterable
from datetime import UTC, datetime

import dagster as dg

from assets.partitions import experiments_partitions, tasks_partitions
from jobs.promote import promote
from jobs.report_experiment import report_experiment
from resources.catalog.experiments import ExperimentCatalog
from resources.catalog_resource import CatalogResource
from resources.database_resource import DatabaseResource
from resources.experiments.watching import Cursor, Due, what_is_due

INTERVAL_S = 60


@dg.sensor(
    jobs=[report_experiment, promote],
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Watches `catalog/experiments/` and what started experiments record. A new file becomes a partition; new "
        "outcomes request one report, which stops what is decided; a recorded winner with `promote: automatic` "
        "requests the task's promotion."
    ),
)
def live_experiments(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Request a report for every started experiment of which something new is recorded."""
    cursor = Cursor.load(context.cursor)
    reading = ExperimentCatalog(catalog.catalog().folder).read()
    for error in reading.errors:
        context.log.error(str(error))
    with database.connect() as opened:
        due = what_is_due(opened, cursor, datetime.now(UTC))
    requests = [*_reports(due), *_promotions(due)]
    names = {*(entry.experiment.name for entry in reading.entries), *due.started}
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[
            *_missing(context, experiments_partitions, names),
            *_missing(context, tasks_partitions, due.promotions.values()),
        ],
        cursor=cursor.dump(),
        skip_reason=None if requests else f"{len(names)} experiments, nothing new.",
    )


def _reports(due: Due) -> list[dg.RunRequest]:
    return [
        dg.RunRequest(run_key=f"{name}:{key}", partition_key=name, job_name=report_experiment.name)
        for name, key in due.reports.items()
    ]


def _promotions(due: Due) -> list[dg.RunRequest]:
    return [
        dg.RunRequest(run_key=f"promote:{decision_id}", partition_key=task, job_name=promote.name)
        for decision_id, task in due.promotions.items()
    ]


def _missing(
    context: dg.SensorEvaluationContext, partitions: dg.DynamicPartitionsDefinition, names: Iterable[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    kind = str(partitions.name)
    wanted = sorted(set(names) - set(context.instance.get_dynamic_partitions(kind)))
    return [partitions.build_add_request(wanted)] if wanted else []
