"""Sensor: experiment files, and what running experiments recorded."""

from collections.abc import Iterable
from datetime import UTC, datetime

import dagster as dg

from assets.partitions import experiments_partitions, tasks_partitions
from jobs.promote import promote
from jobs.report_experiment import report_experiment
from resources.catalog.experiments import ExperimentCatalog
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.experiments.watching import Cursor, Due, what_is_due
from sensors.asked_runs import ASKED_TAG, AskedRuns

INTERVAL_S = 60


@dg.sensor(
    jobs=[report_experiment, promote],
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Watches `catalog/experiments/` and what started experiments record. A new file becomes a partition; new "
        "outcomes request one report, which stops what is decided; a recorded winner with `promote: automatic` "
        "requests the task's promotion. What failed is requested again after a while."
    ),
)
def live_experiments(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Request a report for every started experiment of which something new is recorded."""
    with database.connect() as opened:
        return tick(context, catalog, opened, datetime.now(UTC))


def tick(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: Database, now: datetime
) -> dg.SensorResult:
    """One look at the files and at what is recorded."""
    cursor = Cursor.load(context.cursor)
    reading = ExperimentCatalog(catalog.catalog().folder).read()
    for error in reading.errors:
        context.log.error(str(error))
    due = what_is_due(database, cursor, now)
    requests = [*_reports(context.instance, due, now), *_promotions(context.instance, due, cursor, now)]
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


def _reports(instance: dg.DagsterInstance, due: Due, now: datetime) -> list[dg.RunRequest]:
    before = {f"{name}:{key}": name for name, key in due.reported.items()}
    runs = AskedRuns(instance, before, now)
    new = [(key, key, name) for name, state in due.reports.items() for key in [f"{name}:{state}"]]
    again = [(run_key, key, name) for key, name in before.items() if (run_key := runs.again(key)) is not None]
    return [_request(report_experiment.name, *one) for one in (*new, *again)]


def _promotions(instance: dg.DagsterInstance, due: Due, cursor: Cursor, now: datetime) -> list[dg.RunRequest]:
    """A decision is done with when a run for it did not fail; until then it is asked for."""
    keys = {f"promote:{decision_id}": decision_id for decision_id in due.promotions}
    runs = AskedRuns(instance, keys, now)
    cursor.promotions.extend(decision_id for key, decision_id in keys.items() if runs.is_settled(key))
    return [
        _request(promote.name, run_key, key, due.promotions[decision_id])
        for key, decision_id in keys.items()
        if (run_key := runs.first(key) or runs.again(key)) is not None
    ]


def _request(job: str, run_key: str, key: str, partition: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=run_key, partition_key=partition, job_name=job, tags={ASKED_TAG: key})


def _missing(
    context: dg.SensorEvaluationContext, partitions: dg.DynamicPartitionsDefinition, names: Iterable[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    kind = str(partitions.name)
    wanted = sorted(set(names) - set(context.instance.get_dynamic_partitions(kind)))
    return [partitions.build_add_request(wanted)] if wanted else []
