"""Sensor: task files and dataset files, new or changed."""

from collections.abc import Iterator

import dagster as dg

from assets.partitions import tasks_partitions
from jobs.ingest import ingest
from resources.catalog.catalog import CatalogEntry
from resources.catalog.changes import ChangeWatch, Cursor, TaskFingerprint, fingerprint_of
from resources.catalog_resource import CatalogResource
from resources.database.repositories import dataset_versions, prompt_versions, tasks
from resources.database.session import Database
from resources.database_resource import DatabaseResource

INTERVAL_S = 15


@dg.sensor(
    job=ingest,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Watches `catalog/tasks/`, the dataset files they name and `landing/<task>/`. A new task becomes a partition; "
        "changed content, not a changed date, requests one run that reads it."
    ),
)
def catalog_files(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Request a run for every task whose files say something new."""
    cursor = Cursor.load(context.cursor)
    reading = catalog.catalog().read()
    for error in reading.errors:
        context.log.error(str(error))
    watch = ChangeWatch(cursor, catalog.landing_root())
    now = {entry.task.name: watch.fingerprint(entry) for entry in reading.entries}
    with database.connect() as opened:
        known = cursor.tasks or _already_ingested(reading.entries, opened)
    requests = [request for name, one in now.items() for request in _requests(name, one, known.get(name))]
    there = frozenset(context.instance.get_dynamic_partitions(str(tasks_partitions.name)))
    partitions = [name for name in now if name not in there]
    cursor.tasks = {**known, **now}
    cursor.digests = watch.digests
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[tasks_partitions.build_add_request(partitions)] if partitions else [],
        cursor=cursor.dump(),
        skip_reason=None if requests else _skip_sentence(len(now), len(reading.errors)),
    )


def _requests(name: str, now: TaskFingerprint, before: TaskFingerprint | None) -> Iterator[dg.RunRequest]:
    changed = [
        asset
        for asset, differs in (
            ("dataset", before is None or before.dataset != now.dataset),
            ("prompt_version", before is None or before.prompt != now.prompt),
        )
        if differs
    ]
    if changed:
        yield dg.RunRequest(
            run_key=f"{name}:{now.dataset}:{now.prompt}",
            partition_key=name,
            asset_selection=[dg.AssetKey(asset) for asset in changed],
        )


def _already_ingested(entries: tuple[CatalogEntry, ...], database: Database) -> dict[str, TaskFingerprint]:
    """What the command line has read already, so that starting Dagster does not read it again."""
    known: dict[str, TaskFingerprint] = {}
    with database.session(read_only=True) as session:
        stored = {record.name: record.task for record in tasks.list_tasks(session)}
        for entry in entries:
            name = entry.task.name
            version = dataset_versions.latest(session, name)
            if name not in stored or version is None:
                continue
            # A run of `dataset` alone stores the task too, and leaves its prompt unregistered.
            if prompt_versions.find(session, name, stored[name].prompt.version().id):
                known[name] = fingerprint_of(stored[name], [str(source["sha256"]) for source in version.sources])
    return known


def _skip_sentence(tasks_read: int, errors: int) -> str:
    broken = f", {errors} task files cannot be read (see the log)" if errors else ""
    return f"{tasks_read} tasks, nothing new{broken}."
