"""The clock in task files: one sensor for all tasks, each tick once, nothing forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from domain.errors import InputError
from jobs.optimize import optimize
from resources.catalog.task_file import load_task
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from sensors.task_schedules import tick

NIGHTLY = {"time_zone": "Europe/Berlin", "optimize": "30 2 * * *"}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def no_cap(scope: str, usd: Decimal) -> None:
    raise AssertionError(f"{scope} was capped at {usd}")


class Sensor:
    """The sensor under a clock that is set by hand; its cursor survives the process."""

    def __init__(self, instance: dg.DagsterInstance, catalog: CatalogResource, database: DatabaseResource) -> None:
        self.instance, self.catalog, self.database = instance, catalog, database
        self.cursor: str | None = None

    def at(self, now: datetime) -> list[str]:
        """The run keys requested at `now`."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = tick(context, self.catalog, self.database, no_cap, now)
        self.cursor = result.cursor
        return [str(one.run_key) for one in result.run_requests or ()]


@pytest.fixture
def sensor(
    instance: dg.DagsterInstance, catalog: CatalogResource, database_resource: DatabaseResource, database: Database
) -> Sensor:
    instance.add_dynamic_partitions("tasks", ["colours"])
    return Sensor(instance, catalog, database_resource)


def test_a_schedule_starts_from_when_it_was_written(sensor: Sensor, write_task: Callable[..., Path]) -> None:
    write_task(schedule=NIGHTLY)
    assert sensor.at(NOON) == []
    assert sensor.at(NOON + timedelta(hours=13)) == []
    assert sensor.at(NOON + timedelta(hours=14)) == ["colours:optimize:2026-11-21T01:30Z"]
    assert sensor.at(NOON + timedelta(hours=15)) == []


def test_days_without_a_daemon_are_made_up_once(sensor: Sensor, write_task: Callable[..., Path]) -> None:
    write_task(schedule=NIGHTLY)
    sensor.at(NOON)
    assert sensor.at(NOON + timedelta(days=9)) == ["colours:optimize:2026-11-29T01:30Z"]
    assert sensor.at(NOON + timedelta(days=9, hours=1)) == []


@pytest.mark.parametrize("day", [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)])
def test_once_a_night_also_when_clocks_change(sensor: Sensor, write_task: Callable[..., Path], day: datetime) -> None:
    write_task(schedule=NIGHTLY)
    seen = [key for minutes in range(0, 3 * 24 * 60, 30) for key in sensor.at(day + timedelta(minutes=minutes))]
    assert len(seen) == len(set(seen)) == 3


def test_a_changed_rule_does_not_start_what_it_would_have_started(
    sensor: Sensor, write_task: Callable[..., Path]
) -> None:
    write_task(schedule=NIGHTLY)
    sensor.at(NOON)
    write_task(schedule={**NIGHTLY, "optimize": "0 9 * * *"})
    assert sensor.at(NOON + timedelta(days=2)) == []
    assert sensor.at(NOON + timedelta(days=3)) == ["colours:optimize:2026-11-23T08:00Z"]


def test_what_cannot_run_yet_waits(sensor: Sensor, write_task: Callable[..., Path]) -> None:
    write_task("fresh", schedule=NIGHTLY)
    sensor.at(NOON)
    assert sensor.at(NOON + timedelta(days=2)) == []  # no partition: its files were never read
    sensor.instance.add_dynamic_partitions("tasks", ["fresh"])
    assert sensor.at(NOON + timedelta(days=2, minutes=1)) == ["fresh:optimize:2026-11-22T01:30Z"]


def test_a_run_that_goes_on_is_not_overtaken(sensor: Sensor, write_task: Callable[..., Path]) -> None:
    write_task(schedule=NIGHTLY)
    sensor.at(NOON)
    run = dg.DagsterRun(
        job_name=optimize.name, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "colours"}
    )
    sensor.instance.add_run(run)
    assert sensor.at(NOON + timedelta(days=1)) == []
    sensor.instance.report_run_canceled(run)
    assert len(sensor.at(NOON + timedelta(days=1, minutes=1))) == 1


def test_a_file_that_is_broken_for_a_while_forgets_nothing(sensor: Sensor, write_task: Callable[..., Path]) -> None:
    path = write_task(schedule=NIGHTLY)
    sensor.at(NOON)
    good = path.read_text()
    path.write_text("name: [")
    assert sensor.at(NOON + timedelta(days=1)) == []
    path.write_text(good)
    assert sensor.at(NOON + timedelta(days=1, minutes=1)) == ["colours:optimize:2026-11-21T01:30Z"]


@pytest.mark.parametrize(
    ("schedule", "field", "told"),
    [
        ({"optimize": "30 25 * * *"}, "schedule.optimize", "between 0 and 23"),
        ({"optimize": "daily"}, "schedule.optimize", "five fields"),
        ({"optimize": "0 0 30 2 *"}, "schedule.optimize", "never due"),
        ({"optimize": "@daily", "time_zone": "Europe/Berln"}, "schedule.time_zone", "Europe/Berlin"),
        ({"time_zone": "UTC"}, "schedule", "starts nothing"),
        ({"optimise": "@daily"}, "schedule.optimise", ""),
    ],
)
def test_a_schedule_that_cannot_be_kept_names_file_field_and_mend(
    write_task: Callable[..., Path], schedule: dict[str, str], field: str, told: str
) -> None:
    path = write_task(schedule=schedule)
    with pytest.raises(InputError) as raised:
        load_task(path)
    assert raised.value.file == str(path)
    assert raised.value.field == field
    assert told in raised.value.problem
