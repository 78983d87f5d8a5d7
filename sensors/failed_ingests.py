"""Runs of `ingest` that failed for what may have passed: their cursor has moved on, and nobody else asks for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

from assets.one_partition import PERMANENTLY_FAILED
from assets.partition_ranges import keys_of_run
from assets.permanent_failure import PERMANENT_FAILURE_TAG
from jobs.ingest import ingest
from sensors.asking_again import pause_s

ASKED_AGAIN_TAG = "promptory/asked_again"
"""How often what a run reads was asked for again; files that say something new begin anew."""

MOST_AGAIN = 10
"""So often in about four days. What has not passed by then, or is taken for passing and is not, is for a person."""

LOOK_BACK = timedelta(days=3)
MOST_RUNS = 1000


def ingests_to_repeat(instance: dg.DagsterInstance, order: Sequence[str], now: datetime) -> dict[str, int]:
    """Tasks of which an asset's last ingest run failed a while ago, and not for what only a person can mend.

    The pauses between tries grow; after `MOST_AGAIN` of them, or `LOOK_BACK` after the last, nothing is tried any more.
    Whether such a task was read in another way meanwhile is for the caller to see.

    Args:
        order: the tasks that are partitions, in Dagster's order.

    Returns:
        By task, how often it was asked for again before.
    """
    since = now - LOOK_BACK
    failed = dg.RunsFilter(job_name=ingest.name, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    if not instance.get_run_records(failed, limit=1):
        return {}
    ended: set[tuple[str, dg.AssetKey]] = set()
    found: dict[str, int] = {}
    for record in instance.get_run_records(
        dg.RunsFilter(job_name=ingest.name, updated_after=since), limit=MOST_RUNS, order_by="id"
    ):
        run = record.dagster_run
        made = {(task, asset) for task in keys_of_run(run.tags, order) for asset in run.asset_selection or ()}
        last = made - ended
        ended |= made
        asked = int(run.tags.get(ASKED_AGAIN_TAG, "0"))
        if not last or run.status is not dg.DagsterRunStatus.FAILURE or asked >= MOST_AGAIN:
            continue
        if now.timestamp() - (record.end_time or now.timestamp()) < pause_s(asked + 1):
            continue
        for task in {task for task, _ in last} - _for_a_person(instance, run, {task for task, _ in made}):
            found[task] = max(found.get(task, 0), asked)
    return found


def _for_a_person(instance: dg.DagsterInstance, run: dg.DagsterRun, tasks: set[str]) -> set[str]:
    """Tasks of a failed run whose input is bad; one of many tasks is tagged when one is, and its steps name them."""
    if PERMANENT_FAILURE_TAG not in run.tags:
        return set()
    if len(tasks) == 1:
        return tasks
    named: set[str] = set()
    for entry in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        event = entry.event_log_entry.dagster_event
        told = event.step_failure_data.user_failure_data if event is not None else None
        found = told.metadata.get(PERMANENTLY_FAILED) if told is not None else None
        if isinstance(found, dg.JsonMetadataValue) and isinstance(found.value, list):
            named |= {str(task) for task in found.value}
    return named
