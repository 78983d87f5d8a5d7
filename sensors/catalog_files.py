"""Sensor: task files and dataset files, new or changed."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from assets.partition_ranges import KeyRange, bridged_ranges
from assets.partitions import add_partitions, tasks_partitions
from domain.errors import StateUnavailableError
from domain.identity import content_id
from jobs.ingest import ingest
from resources.catalog.catalog import CatalogEntry
from resources.catalog.changes import ChangeWatch, Cursor, TaskFingerprint, fingerprint_of
from resources.catalog.snapshot import source_digests
from resources.catalog_resource import CatalogResource
from resources.database.repositories import dataset_versions, prompt_versions, tasks
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from sensors.failed_ingests import ASKED_AGAIN_TAG, ingests_to_repeat
from sensors.kept_cursor import KeptCursor

INTERVAL_S = 15
READING_S = 30.0
"""Dagster gives up a tick after 60 s: files that cannot be read in this time are left to the next one."""

SINGLY = 10
"""Up to so many changed tasks have a run each; more share runs."""

MOST_PER_RUN = 100
LONGEST_RANGE = 2 * MOST_PER_RUN
"""From end to end: Dagster notes every partition of a run's range as planned, those between changed ones too."""


@dg.sensor(
    job=ingest,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Watches `catalog/tasks/`, the dataset files they name and `landing/<task>/`. A new task becomes a partition; "
        "changed content, not a changed date, requests one run that reads it. More than ten changed tasks share runs, "
        "a hundred at most in each."
    ),
)
def catalog_files(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Request runs for the tasks whose files say something new."""
    kept = KeptCursor(context.instance, f"catalog_files/{catalog.folder}", context.cursor)
    cursor = Cursor.load(kept.load())
    reading = catalog.catalog().read()
    for error in reading.errors:
        context.log.error(str(error))
    with database.connect() as opened:
        known = cursor.tasks or already_ingested(reading.entries, opened)
        failed = _failed(context.instance)
        known = _without_failed(failed, known, reading.entries, opened)
    watch = ChangeWatch(cursor, catalog.landing_root(), _after(READING_S))
    now = _fingerprints(context, watch, reading.entries)
    changes = _changes(known, now)
    number = cursor.requests + bool(changes)
    again = {name: asked + 1 for name, asked in failed.items() if cursor.tasks.get(name) == now.get(name)}
    requests = run_requests(changes, now, _partitions_with(context.instance, list(now)), number, again)
    after = Cursor({**known, **now}, watch.digests, number)
    return dg.SensorResult(
        run_requests=requests,
        cursor=kept.keep(after.dump()),
        skip_reason=None if requests else _skip_sentence(len(now), len(reading.entries), len(reading.errors)),
    )


def run_requests(
    changes: Mapping[str, Sequence[str]],
    now: Mapping[str, TaskFingerprint],
    order: Sequence[str],
    number: int,
    again: Mapping[str, int],
) -> list[dg.RunRequest]:
    """One run per task where few changed; otherwise tasks with the same changed assets share runs.

    Args:
        changes: changed assets by task.
        order: all tasks that are partitions, in Dagster's order.
        number: of this time that runs are requested. With what the files say it makes the runs' keys: asked again, they
            are the same runs; what changes and changes back is read again.
        again: of tasks whose files said the same before, how often they are asked for again with this.
    """
    if len(changes) <= SINGLY:
        return [
            _request(KeyRange((name,)), assets, now, number, again.get(name, 0)) for name, assets in changes.items()
        ]
    alike: dict[tuple[tuple[str, ...], int], list[str]] = {}
    for name, assets in changes.items():
        alike.setdefault((tuple(assets), again.get(name, 0)), []).append(name)
    return [
        _request(one, assets, now, number, asked)
        for (assets, asked), names in alike.items()
        for one in bridged_ranges(order, names, MOST_PER_RUN, LONGEST_RANGE)
    ]


def already_ingested(entries: Sequence[CatalogEntry], database: Database) -> dict[str, TaskFingerprint]:
    """What the command line has read already, so that starting Dagster does not read it again."""
    with database.session(read_only=True) as session:
        stored = {record.name: record for record in tasks.list_tasks(session)}
        newest = dataset_versions.latest_of_all(session)
        registered = prompt_versions.ids_of_all(session)
    known: dict[str, TaskFingerprint] = {}
    for name, read in ((entry.task.name, entry.task) for entry in entries):
        if name not in stored or name not in newest:
            continue
        fingerprint = fingerprint_of(stored[name].task_like(read), source_digests(newest[name].sources))
        # A run of `dataset` alone stores the task too, and leaves its prompt unregistered.
        if (name, fingerprint.prompt) in registered:
            known[name] = fingerprint
    return known


def _failed(instance: dg.DagsterInstance) -> dict[str, int]:
    return ingests_to_repeat(instance, instance.get_dynamic_partitions(str(tasks_partitions.name)), datetime.now(UTC))


def _without_failed(
    failed: Collection[str],
    known: Mapping[str, TaskFingerprint],
    entries: Sequence[CatalogEntry],
    database: Database,
) -> dict[str, TaskFingerprint]:
    """`known`, with what was really read of tasks whose runs failed and are to be asked for again."""
    if not failed:
        return dict(known)
    read = already_ingested([entry for entry in entries if entry.task.name in failed], database)
    return {**{name: one for name, one in known.items() if name not in failed}, **read}


def _fingerprints(
    context: dg.SensorEvaluationContext, watch: ChangeWatch, entries: Sequence[CatalogEntry]
) -> dict[str, TaskFingerprint]:
    """Of the tasks whose files could be read in time; one that cannot be read hides no other."""
    found: dict[str, TaskFingerprint] = {}
    for entry in entries:
        try:
            fingerprint = watch.fingerprint(entry)
        except (OSError, StateUnavailableError) as error:
            context.log.warning(f"the dataset files of {entry.task.name} cannot be read: {error}")
            continue
        if fingerprint is not None:
            found[entry.task.name] = fingerprint
    return found


def _changes(known: Mapping[str, TaskFingerprint], now: Mapping[str, TaskFingerprint]) -> dict[str, list[str]]:
    """Assets whose files say something new, by task; tasks without any are left out."""
    found: dict[str, list[str]] = {}
    for name, one in now.items():
        before = known.get(name)
        if before is None or before.dataset != one.dataset:
            found.setdefault(name, []).append("dataset")
        if before is None or before.prompt != one.prompt:
            found.setdefault(name, []).append("prompt_version")
    return found


def _request(
    chosen: KeyRange, assets: Sequence[str], now: Mapping[str, TaskFingerprint], number: int, again: int
) -> dg.RunRequest:
    selection = [dg.AssetKey(asset) for asset in assets]
    content = [[name, now[name].dataset, now[name].prompt] for name in chosen.keys]
    told = chosen.keys[0] if len(chosen.keys) == 1 else f"{len(chosen.keys)} tasks"
    return dg.RunRequest(
        run_key=f"{told}:{number}:{content_id([list(assets), content])}",
        partition_key=chosen.keys[0] if len(chosen.keys) == 1 else None,
        tags={**({} if len(chosen.keys) == 1 else chosen.tags), **({ASKED_AGAIN_TAG: str(again)} if again else {})},
        asset_selection=selection,
    )


def _partitions_with(instance: dg.DagsterInstance, names: Sequence[str]) -> Sequence[str]:
    """All tasks that are partitions, new ones included, in Dagster's order.

    They are added here and not by the daemon after the tick: another sensor may add some meanwhile, and ranges cut from
    a supposed order would then be others.
    """
    add_partitions(instance, tasks_partitions, sorted(names))
    return instance.get_dynamic_partitions(str(tasks_partitions.name))


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _skip_sentence(looked_at: int, tasks_read: int, errors: int) -> str:
    broken = f", {errors} task files cannot be read (see the log)" if errors else ""
    later = f", {tasks_read - looked_at} of them still to be looked at" if looked_at < tasks_read else ""
    return f"{tasks_read} tasks{later}, nothing new{broken}."
