"""Schedules on days when clocks are changed, and after days without a daemon."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import ScheduleSnap  # what the daemon asks; not public
from dagster._utils.schedules import schedule_execution_time_iterator  # likewise

from assets.costs.call_log import call_log
from assets.costs.evaluation_history import evaluation_history
from jobs.collect_metrics import collect_metrics
from resources.catalog.task_file import load_task
from resources.catalog_resource import CatalogResource
from resources.database.repositories import aliases, ledger_days, prompt_versions
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.storage_resource import StorageResource
from sensors.schedules import (
    RANGE_END,
    RANGE_START,
    daily_metrics,
    days_to_collect,
    hourly_metrics,
    nightly_evaluation,
)

BERLIN = "Europe/Berlin"


def ticks(schedule: dg.ScheduleDefinition, first: datetime, last: datetime) -> list[str]:
    """When the daemon evaluates it within (first, last], as UTC."""
    every = schedule_execution_time_iterator(
        first.timestamp(), str(schedule.cron_schedule), schedule.execution_timezone, ascending=True
    )
    moments = takewhile(lambda moment: moment.timestamp() <= last.timestamp(), every)
    return [f"{moment.astimezone(UTC):%m-%d %H:%M}" for moment in moments]


def ranges(requests: Any) -> list[tuple[str, str]]:
    return [(one.tags[RANGE_START], one.tags[RANGE_END]) for one in requests]


def requested_by(schedule: Any, tick: datetime, database: DatabaseResource) -> Any:
    # Left open, the context's instance would go on as the current one of tests after it.
    with dg.build_schedule_context(scheduled_execution_time=tick, resources={"database": database}) as context:
        return schedule(context)


def mark(database: Database, *days: date) -> None:
    with database.session() as session:
        ledger_days.mark(session, "writer", days)


def test_the_night_s_evaluation_runs_once_on_every_night() -> None:
    schedule = nightly_evaluation(BERLIN)
    spring = ticks(schedule, datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC))
    autumn = ticks(schedule, datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 26, 12, tzinfo=UTC))
    assert [one[:5] for one in spring] == ["03-29", "03-30"]
    assert [one[:5] for one in autumn] == ["10-25", "10-26"]


@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`:DeprecationWarning")
def test_missed_ticks_are_made_up_once(database_resource: DatabaseResource, tmp_path: Path) -> None:
    """Without a partition set the daemon evaluates only the last of the ticks that it missed."""

    resources = {"database": database_resource, "storage": StorageResource(root=str(tmp_path))}
    assets = [call_log, evaluation_history]
    schedules = [hourly_metrics, daily_metrics]
    repository = dg.Definitions(
        assets=assets, jobs=[collect_metrics], schedules=schedules, resources=resources
    ).get_repository_def()
    for schedule in (hourly_metrics, daily_metrics):
        assert ScheduleSnap.from_def(schedule, repository).partition_set_name is None


def test_the_hour_s_collection_asks_for_what_changed(database: Database, database_resource: DatabaseResource) -> None:
    tick = datetime(2026, 11, 25, 9, 35, tzinfo=UTC)
    skipped = requested_by(hourly_metrics, tick, database_resource)
    assert isinstance(skipped, dg.SkipReason)

    mark(database, date(2026, 11, 25), date(2026, 11, 24), date(2026, 8, 3), date(2025, 1, 1))
    requests = requested_by(hourly_metrics, tick, database_resource)

    assert isinstance(requests, list)
    assert ranges(requests) == [("2026-08-03", "2026-08-03"), ("2026-11-24", "2026-11-25")]
    assert len({one.run_key for one in requests}) == 2
    assert requests[0].run_config["ops"]["call_log"]["config"] == {"changed_only": True}


def test_the_night_s_collection_asks_for_the_day_that_ended(
    database: Database, database_resource: DatabaseResource
) -> None:
    def requested(tick: datetime) -> list[tuple[str, str]]:
        return ranges(requested_by(daily_metrics, tick, database_resource))

    tick = datetime(2026, 11, 25, 0, 20, tzinfo=UTC)
    assert requested(tick) == [("2026-11-24", "2026-11-24")]
    # After days without a daemon one tick brings them all: the ledger's marks are the memory, not the clock.
    mark(database, *(date(2026, 11, 20) + timedelta(days=number) for number in range(5)))
    assert requested(tick) == [("2026-11-20", "2026-11-24")]


def test_an_attempt_before_midnight_finds_its_call_that_ended_after_it(
    database: Database, database_resource: DatabaseResource
) -> None:
    mark(database, date(2026, 11, 24), date(2026, 11, 25))
    requests = requested_by(daily_metrics, datetime(2026, 11, 25, 0, 20, tzinfo=UTC), database_resource)
    assert ranges(requests) == [("2026-11-24", "2026-11-25")]


@pytest.mark.usefixtures("one_day")
def test_a_day_that_has_not_begun_is_not_asked_for(database: Database) -> None:
    today = datetime.now(UTC).date()
    mark(database, today - timedelta(days=1), today + timedelta(days=2))
    assert days_to_collect(database) == [today - timedelta(days=1)]


def test_every_task_in_production_is_checked_at_night(
    database: Database,
    database_resource: DatabaseResource,
    catalog: CatalogResource,
    write_task: Callable[..., Path],
    tmp_path: Path,
) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        _check_at_night(instance, database, database_resource, catalog, write_task)


def _check_at_night(
    instance: dg.DagsterInstance,
    database: Database,
    database_resource: DatabaseResource,
    catalog: CatalogResource,
    write_task: Callable[..., Path],
) -> None:
    write_task("colours")
    write_task("draft")
    write_task("own_clock", schedule={"check_production": "0 5 * * *"})
    instance.add_dynamic_partitions("tasks", ["colours", "draft", "own_clock"])
    now = datetime(2026, 11, 24, tzinfo=UTC)
    for name in ("colours", "own_clock"):
        prompt = load_task(Path(catalog.folder) / "tasks" / f"{name}.yaml").prompt.version()
        with database.session() as session:
            record = prompt_versions.register(session, name, prompt, created_by="person", now=now)
            aliases.move(
                session,
                name,
                "production",
                record.id,
                expected_revision=None,
                moved_by="person",
                reason="first",
                now=now,
            )
    schedule = nightly_evaluation(BERLIN)
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 11, 25, 1, 30, tzinfo=UTC),
        resources={"database": database_resource, "catalog": catalog},
    ) as context:
        requests = schedule(context)

    assert [(one.partition_key, one.run_key) for one in requests] == [
        ("colours", "colours:check_production:2026-11-25")
    ]
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
