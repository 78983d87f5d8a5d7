"""Runs of `ingest` that failed for what may have passed: their cursor has moved on, and nobody else asks for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

from assets.partition_ranges import keys_of_run
from assets.permanent_failure import PERMANENT_FAILURE_TAG
from jobs.ingest import ingest
from sensors.asking_again import Failures

LOOK_BACK = timedelta(days=3)
MOST_RUNS = 1000


def ingests_to_repeat(instance: dg.DagsterInstance, order: Sequence[str], now: datetime) -> set[str]:
    """Tasks of which an asset's last ingest run failed a while ago, and not for what only a person can mend.

    The pauses between tries grow; after `LOOK_BACK` nothing is tried any more. Whether such a task was read in another
    way meanwhile is for the caller to see.

    Args:
        order: the tasks that are partitions, in Dagster's order.
    """
    since = now - LOOK_BACK
    failed = dg.RunsFilter(job_name=ingest.name, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    if not instance.get_run_records(failed, limit=1):
        return set()
    ended: set[tuple[str, dg.AssetKey]] = set()
    failures: dict[tuple[str, dg.AssetKey], Failures] = {}
    for record in instance.get_run_records(
        dg.RunsFilter(job_name=ingest.name, updated_after=since), limit=MOST_RUNS, order_by="id"
    ):
        run = record.dagster_run
        made = [(task, asset) for task in keys_of_run(run.tags, order) for asset in run.asset_selection or ()]
        for one in made:
            if one in ended:
                continue
            if run.status is dg.DagsterRunStatus.FAILURE and not _is_for_a_person(run, len(made)):
                failures.setdefault(one, Failures()).add(record, now)
            else:
                ended.add(one)
    return {task for (task, _), found in failures.items() if found.are_over(now)}


def _is_for_a_person(run: dg.DagsterRun, made: int) -> bool:
    """A run of many tasks is tagged when one of them is bad; asked for again, that one gets a run of its own."""
    return PERMANENT_FAILURE_TAG in run.tags and made <= len(run.asset_selection or ())
