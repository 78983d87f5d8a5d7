"""Retries that Dagster lost: its daemon reads of the failure once more, and starts the run again once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterEventType
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from sensors.lost_retries import CURSOR, OVERDUE, lost_retries, overdue_retries, put_back

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


def newest_event(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_maximum_record_id() or 0


def test_a_run_that_waits_for_its_retry_is_overdue_after_a_while(instance: dg.DagsterInstance) -> None:
    lost = failed_run(instance)
    run = instance.get_run_by_id(lost)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == "true"
    now = datetime.now(UTC)
    assert overdue_retries(instance, now) == set()
    assert overdue_retries(instance, now + A_WHILE) == {lost}
    assert overdue_retries(instance, now + A_WHILE + timedelta(days=2)) == set()
    instance.add_run_tags(lost, {AUTO_RETRY_RUN_ID_TAG: "another"})
    assert overdue_retries(instance, now + A_WHILE) == set()


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
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The private name of the cursor is the one that the daemon of this release uses."""
    asked: list[str] = []
    monkeypatch.setattr(
        "dagster._daemon.auto_run_reexecution.auto_run_reexecution.retry_run",
        lambda run, _: asked.append(run.run_id),
    )
    daemon = EventLogConsumerDaemon()

    class Process(WorkspaceProcessContext):
        def __init__(self) -> None:
            self._instance = instance

        def __del__(self) -> None: ...

    def look() -> None:
        list(daemon.run_iteration(Process()))

    lost = failed_run(instance)
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: str(newest_event(instance))})
    look()
    assert asked == []
    assert put_back(instance, overdue_retries(instance, datetime.now(UTC) + A_WHILE))
    look()
    look()
    assert asked == [lost]
