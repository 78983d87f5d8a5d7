"""A backfill that Dagster's daemon ended while one of its runs is to be started again is not over."""

from __future__ import annotations

import time

import dagster as dg
from backfill.tasks import Tasks
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, BACKFILL_ID_TAG, WILL_RETRY_TAG

from orchestration import backfill


@dg.job
def work() -> None:
    """No step."""


def states() -> tuple[str, str]:
    """As it is told of alone, and among others."""
    ((_, listed),) = backfill.list_backfills()
    return backfill.status("early").state, listed


def test_it_is_running_until_the_run_was_started_again(tasks: Tasks) -> None:
    tasks.add("alpha")
    started = backfill.launch(["dataset"], key="early", way="daemon")
    with tasks.instance() as instance:
        stored = instance.get_backfill(started.id)
        assert stored is not None
        instance.update_backfill(stored.with_status(BulkActionStatus.COMPLETED_FAILED).with_end_timestamp(time.time()))
        assert states() == ("failed", "failed")

        tags = {BACKFILL_ID_TAG: started.id, WILL_RETRY_TAG: "true"}
        run = instance.create_run_for_job(work, tags=tags, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
        assert states() == ("running", "running")

        instance.add_run_tags(run.run_id, {AUTO_RETRY_RUN_ID_TAG: "another"})
        assert states() == ("failed", "failed")
