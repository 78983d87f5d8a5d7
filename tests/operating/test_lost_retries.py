"""Retries that Dagster lost: its daemon reads of the failure once more, and starts the run again once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterEventType
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.asset_backfill import backfill_runs_are_complete
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, BACKFILL_ID_TAG, WILL_RETRY_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from sensors.lost_retries import CURSOR, OVERDUE, lost_retries, overdue_retries, put_back, reopen_backfills

A_WHILE = OVERDUE + timedelta(seconds=30)


@dg.job
def work() -> None:
    """No step."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    overrides = {"run_retries": {"enabled": True, "max_retries": 2}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as made:
        yield made


def failed_run(instance: dg.DagsterInstance, **tags: str) -> str:
    run = instance.create_run_for_job(work, tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run)
    return run.run_id


def add_backfill(instance: dg.DagsterInstance, status: BulkActionStatus) -> str:
    made = PartitionBackfill.from_asset_graph_subset(
        backfill_id="shelves",
        backfill_timestamp=1.0,
        tags={},
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(),
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(made.with_status(status).with_end_timestamp(2.0))
    return made.backfill_id


@pytest.fixture
def asked(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that Dagster's daemon would start again."""
    started: list[str] = []
    monkeypatch.setattr(
        "dagster._daemon.auto_run_reexecution.auto_run_reexecution.retry_run",
        lambda run, _: started.append(run.run_id),
    )
    return started


@pytest.fixture
def look(instance: dg.DagsterInstance) -> Callable[[], None]:
    """Dagster's own daemon looks for failures once."""
    daemon = EventLogConsumerDaemon()

    class Process(WorkspaceProcessContext):
        def __init__(self) -> None:
            self._instance = instance

        def __del__(self) -> None: ...

    return lambda: list(daemon.run_iteration(Process())) and None


def newest_event(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_maximum_record_id() or 0


def test_a_run_that_waits_for_its_retry_is_overdue_after_a_while(instance: dg.DagsterInstance) -> None:
    lost = failed_run(instance)
    run = instance.get_run_by_id(lost)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == "true"
    now = datetime.now(UTC)
    assert overdue_retries(instance, now) == []
    assert [one.run_id for one in overdue_retries(instance, now + A_WHILE)] == [lost]
    assert overdue_retries(instance, now + A_WHILE + timedelta(days=2)) == []
    instance.add_run_tags(lost, {AUTO_RETRY_RUN_ID_TAG: "another"})
    assert overdue_retries(instance, now + A_WHILE) == []


def test_the_daemon_reads_of_it_again_and_of_nothing_before(instance: dg.DagsterInstance) -> None:
    failed_run(instance, **{WILL_RETRY_TAG: "false"})
    before = newest_event(instance)
    lost = failed_run(instance)
    failed_run(instance)
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: str(newest_event(instance))})
    assert put_back(instance, {lost})
    cursor = int(instance.daemon_cursor_storage.get_cursor_values({CURSOR})[CURSOR])
    assert before <= cursor < newest_event(instance)
    unread = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        after_cursor=cursor, dagster_event_type={DagsterEventType.RUN_FAILURE}
    )
    assert lost in {event.run_id for event in unread.values()}


def test_a_cursor_that_is_behind_stays(instance: dg.DagsterInstance) -> None:
    lost = failed_run(instance)
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: "0"})
    assert put_back(instance, {lost})
    assert instance.daemon_cursor_storage.get_cursor_values({CURSOR}) == {CURSOR: "0"}


def test_a_failure_that_is_not_in_the_log_is_told(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_run(instance)
    assert not put_back(instance, {"gone"})
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: str(newest_event(instance))})
    assert not put_back(instance, {"gone"})
    monkeypatch.setattr("sensors.lost_retries.OVERDUE", timedelta(0))
    monkeypatch.setattr("sensors.lost_retries.put_back", lambda *_: False)
    with dg.build_sensor_context(instance) as context:
        told = lost_retries(context)
    assert "not found" in str(getattr(told, "skip_message", told))


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")
def test_dagster_s_own_daemon_starts_it_again_once(
    instance: dg.DagsterInstance, asked: list[str], look: Callable[[], None]
) -> None:
    """The private name of the cursor is the one that the daemon of this release uses."""
    lost = failed_run(instance)
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: str(newest_event(instance))})
    look()
    assert asked == []
    assert put_back(instance, {run.run_id for run in overdue_retries(instance, datetime.now(UTC) + A_WHILE)})
    look()
    look()
    assert asked == [lost]


def test_dagster_takes_a_backfill_for_ended_while_it_marks_a_run(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault that backfills are opened again for: once this fails, Dagster has mended it."""
    backfill_id = add_backfill(instance, BulkActionStatus.REQUESTED)
    ended: list[bool] = []

    def between(*_: object) -> bool:
        ended.append(backfill_runs_are_complete(backfill_id, instance, logging.getLogger("test")))
        return True

    marking = "dagster._daemon.auto_run_reexecution.auto_run_reexecution.auto_reexecution_should_retry_run"
    monkeypatch.setattr(marking, between)
    failed_run(instance, **{BACKFILL_ID_TAG: backfill_id})
    assert ended == [True]
    assert not backfill_runs_are_complete(backfill_id, instance, logging.getLogger("test"))


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")
def test_a_backfill_that_was_ended_too_early_goes_on(
    instance: dg.DagsterInstance, asked: list[str], look: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensors.lost_retries.OVERDUE", timedelta(0))
    backfill_id = add_backfill(instance, BulkActionStatus.COMPLETED_FAILED)
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: str(newest_event(instance))})
    lost = failed_run(instance, **{BACKFILL_ID_TAG: backfill_id})
    look()
    assert asked == []
    with dg.build_sensor_context(instance) as context:
        lost_retries(context)
    look()
    assert asked == [lost]
    stored = instance.get_backfill(backfill_id)
    assert stored is not None
    assert (stored.status, stored.backfill_end_timestamp) == (BulkActionStatus.REQUESTED, None)


@pytest.mark.parametrize("status", [BulkActionStatus.CANCELED, BulkActionStatus.CANCELING, BulkActionStatus.FAILED])
def test_a_backfill_that_was_stopped_stays_so(instance: dg.DagsterInstance, status: BulkActionStatus) -> None:
    backfill_id = add_backfill(instance, status)
    failed_run(instance, **{BACKFILL_ID_TAG: backfill_id})
    failed_run(instance)
    failed_run(instance, **{BACKFILL_ID_TAG: "gone"})
    assert reopen_backfills(instance, overdue_retries(instance, datetime.now(UTC) + A_WHILE)) == []
    stored = instance.get_backfill(backfill_id)
    assert stored is not None
    assert stored.status == status
