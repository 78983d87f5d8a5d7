"""Live experiments that a task's schedule starts: once per time, with what the aliases name then, or told why not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from domain.errors import InputError, StateUnavailableError
from domain.experiment.reach import ALWAYS_ENOUGH, refuse_undecidable
from domain.experiment.spec import Experiment
from domain.statistics.alpha_spending import alpha_for_look
from resources.catalog.task_file import load_task
from resources.catalog_resource import CatalogResource
from resources.database.repositories import aliases, experiments, prompt_versions
from resources.database.session import Database
from resources.database.tables import CallRow
from resources.database_resource import DatabaseResource
from resources.experiments.lifecycle import stop
from resources.experiments.live import LiveExperiments
from sensors.task_schedules import tick

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WEEKLY = {"time_zone": "Europe/Berlin", "start_experiment": "0 9 * * *"}
DECLARED = {"metric": {"name": "solved", "window_hours": 2}, "min_units": 50}


class Sensor:
    """The sensor under a clock that is set by hand, with its cursor and the caps it sets."""

    def __init__(
        self, instance: dg.DagsterInstance, catalog: CatalogResource, resource: DatabaseResource, database: Database
    ) -> None:
        self.instance, self.catalog, self.resource, self.database = instance, catalog, resource, database
        self.cursor: str | None = None
        self.caps: dict[str, Decimal] = {}
        self.store_is_away = False

    def at(self, now: datetime) -> str:
        """What the tick at `now` says."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        self.result = tick(context, self.catalog, self.resource, self._set_cap, now)
        self.cursor = self.result.cursor
        return self.result.skip_reason.skip_message or "" if self.result.skip_reason else ""

    def _set_cap(self, scope: str, usd: Decimal) -> None:
        if self.store_is_away:
            raise StateUnavailableError("the state store is away")
        self.caps[scope] = usd

    def started(self, state: str | None = None) -> list[str]:
        with self.database.session(read_only=True) as session:
            return [one.name for one in experiments.list_experiments(session, state=state)]

    def end(self, now: datetime) -> None:
        for name in self.started("running"):
            stop(self.database, name, kind="person", reason="enough", stopped_by="ada", now=now)

    def point(self, alias: str, version: str, task: str = "colours") -> None:
        with self.database.session() as session:
            now = aliases.find(session, task, alias)
            to = prompt_versions.get(session, task, version).id
            revision = now.revision if now else None
            aliases.move(
                session, task, alias, to, expected_revision=revision, moved_by="ada", reason="a test", now=NOON
            )


@pytest.fixture
def sensor(
    instance: dg.DagsterInstance, catalog: CatalogResource, database_resource: DatabaseResource, database: Database
) -> Sensor:
    instance.add_dynamic_partitions("tasks", ["colours", "shapes"])
    return Sensor(instance, catalog, database_resource, database)


@pytest.fixture
def declare(write_task: Callable[..., Path], sensor: Sensor) -> Callable[..., None]:
    """Writes a task that declares an experiment, with two prompt versions: v1 in production, v2 the candidate."""

    def write(name: str = "colours", *, schedule: dict[str, str] = WEEKLY, **experiment: Any) -> None:
        path = write_task(name, schedule=schedule, experiment={**DECLARED, **experiment})
        first = load_task(path).prompt.version()
        second = first.with_steps((first.steps[0].model_copy(update={"system_prompt": "Name the colour."}),))
        with sensor.database.session() as session:
            for version in (first, second):
                prompt_versions.register(session, name, version, created_by="ada", now=NOON)
        sensor.point("production", "v1", name)
        sensor.point("candidate", "v2", name)

    return write


def test_an_experiment_starts_when_it_is_due(sensor: Sensor, declare: Callable[..., None]) -> None:
    declare(budget_usd="2.50")
    sensor.at(NOON)
    assert sensor.at(NOON + timedelta(hours=19)) == "1 tasks with a schedule, nothing due."
    said = sensor.at(NOON + timedelta(hours=20, minutes=5))

    assert said == "Experiment colours_20261121_0800 was started."
    with sensor.database.session(read_only=True) as session:
        record = experiments.get(session, "colours_20261121_0800")
        ids = {alias: prompt_versions.get(session, "colours", alias).id for alias in ("production", "candidate")}
    assert record.prompt_version_ids == ids
    assert record.started_at == NOON + timedelta(hours=20, minutes=5)
    assert record.started_by == "schedule"
    assert record.experiment.metric.window_hours == 2
    assert sensor.caps == {"experiment:colours_20261121_0800": Decimal("2.50")}


def test_programs_find_it_by_its_task(sensor: Sensor, declare: Callable[..., None]) -> None:
    declare()
    live = LiveExperiments(sensor.database, clock=lambda: NOON, monotonic=iter(range(0, 1000, 10)).__next__)
    assert live.experiment_of("colours", "user-1") is None
    sensor.at(NOON)
    sensor.at(NOON + timedelta(days=1))
    name = live.experiment_of("colours", "user-1")
    assert name == "colours_20261121_0800"
    assert live.assign(name, "user-1").variant in ("production", "candidate")
    assert live.experiment_of("shapes", "user-1") is None
    sensor.end(NOON + timedelta(days=1))
    assert live.experiment_of("colours", "user-1") is None


def test_days_without_a_daemon_are_one_start(sensor: Sensor, declare: Callable[..., None]) -> None:
    declare()
    sensor.at(NOON)
    sensor.at(NOON + timedelta(days=9))
    assert sensor.started() == ["colours_20261129_0800"]
    sensor.end(NOON + timedelta(days=9))
    assert sensor.at(NOON + timedelta(days=9, hours=1)) == "1 tasks with a schedule, nothing due."
    assert sensor.started("running") == []


def test_all_starts_of_a_task_share_one_alpha(sensor: Sensor, declare: Callable[..., None]) -> None:
    declare(alpha=0.1)
    sensor.at(NOON)
    for day in (1, 2, 3):
        sensor.at(NOON + timedelta(days=day))
        sensor.at(NOON + timedelta(days=day))  # asking twice is no further start
        sensor.end(NOON + timedelta(days=day))
    with sensor.database.session(read_only=True) as session:
        spent = [one.experiment.alpha for one in experiments.list_experiments(session, task="colours")]
    assert spent == [alpha_for_look(0.1, number) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("day", "times"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), ["20260329_0100", "20260330_0030", "20260331_0030"]),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), ["20261025_0030", "20261026_0130", "20261027_0130"]),
    ],
)
def test_one_a_night_also_when_clocks_change(
    sensor: Sensor, declare: Callable[..., None], day: datetime, times: list[str]
) -> None:
    declare(schedule={**WEEKLY, "start_experiment": "30 2 * * *"})
    for minutes in range(0, 3 * 24 * 60, 30):
        sensor.at(day + timedelta(minutes=minutes))
        sensor.end(day + timedelta(minutes=minutes))
    assert sensor.started() == [f"colours_{at}" for at in times]


def test_one_that_still_runs_is_told_and_the_next_time_tries_again(
    sensor: Sensor, declare: Callable[..., None]
) -> None:
    declare()
    sensor.at(NOON)
    sensor.at(NOON + timedelta(days=1))
    said = sensor.at(NOON + timedelta(days=2))
    assert "experiment 'colours_20261121_0800' of task 'colours' still runs" in said
    sensor.end(NOON + timedelta(days=2))
    # Refused is refused: nobody expects it to start at one o'clock.
    assert "nothing due" in sensor.at(NOON + timedelta(days=2, hours=1))
    sensor.at(NOON + timedelta(days=3))
    assert sensor.started("running") == ["colours_20261123_0800"]


@pytest.mark.parametrize(
    ("candidate", "experiment", "told"),
    [
        ("v1", {}, "production and candidate of task 'colours' are the same prompt version, v1"),
        (
            "v2",
            {"variants": [{"name": "old", "prompt": "production"}, {"name": "new", "prompt": "v9"}]},
            "has no prompt version 'v9'",
        ),
        (
            "v2",
            {
                "variants": [
                    {"name": "old", "prompt": "production", "weight": 99},
                    {"name": "new", "prompt": "candidate"},
                ],
                "min_units": 10,
                "max_units": 300,
            },
            "max_units is 300",
        ),
    ],
)
def test_what_cannot_be_compared_is_told_and_stops_nothing_else(
    sensor: Sensor, declare: Callable[..., None], candidate: str, experiment: dict[str, Any], told: str
) -> None:
    declare("shapes", schedule={**WEEKLY, "optimize": "0 9 * * *"})
    declare(**experiment)
    sensor.point("candidate", candidate)
    sensor.at(NOON)
    with pytest.MonkeyPatch.context() as patch:
        logged: list[str] = []
        context = dg.build_sensor_context(instance=sensor.instance, cursor=sensor.cursor)
        patch.setattr(context.log, "info", logged.append)
        result = tick(context, sensor.catalog, sensor.resource, sensor._set_cap, NOON + timedelta(days=1))
    assert [one.run_key for one in result.run_requests or ()] == ["shapes:optimize:2026-11-21T08:00Z"]
    assert sensor.started() == ["shapes_20261121_0800"]
    (refusal,) = [line for line in logged if "colours" in line]
    assert told in refusal


@pytest.mark.parametrize(("budget", "calls", "starts"), [("0.99", 60, False), ("1.00", 60, True), ("0.99", 40, True)])
def test_a_budget_that_cannot_pay_for_the_units_is_told_where_their_cost_is_known(
    sensor: Sensor, declare: Callable[..., None], budget: str, calls: int, starts: bool
) -> None:
    """50 units of each of two variants, a cent an answer."""
    declare(budget_usd=budget)
    with sensor.database.session() as session:
        production = prompt_versions.get(session, "colours", "production").id
        for number in range(calls):
            at = NOON + timedelta(minutes=number)
            session.add(
                CallRow(
                    call_id=f"call-{number}",
                    purpose="serve",
                    task="colours",
                    prompt_version_id=production,
                    requested_model="m",
                    status="ok",
                    cached=False,
                    attempts=1,
                    input_tokens=1,
                    output_tokens=1,
                    cost_nano_usd=10_000_000,
                    latency_s=0.1,
                    started_at=at,
                    finished_at=at,
                )
            )
    sensor.at(NOON)
    said = sensor.at(NOON + timedelta(days=1))
    assert len(sensor.started()) == starts
    assert starts or "min_units asks for 100 answers, which cost about $1.00 at what production costs lately" in said


def test_a_task_without_a_candidate_is_told(sensor: Sensor, declare: Callable[..., None]) -> None:
    declare(variants=[{"name": "old", "prompt": "production"}, {"name": "new", "prompt": "challenger"}])
    sensor.at(NOON)
    said = sensor.at(NOON + timedelta(days=1))
    assert "'challenger'" in said
    assert "production" in said  # the aliases there are
    assert sensor.started() == []


def test_a_cursor_that_was_lost_after_the_start_starts_nothing_twice(
    sensor: Sensor, declare: Callable[..., None]
) -> None:
    declare(budget_usd="1.00")
    sensor.at(NOON)
    before = sensor.cursor
    sensor.at(NOON + timedelta(days=1))
    sensor.cursor = before  # the daemon died before it kept the new one
    sensor.caps.clear()
    assert sensor.at(NOON + timedelta(days=1)) == "Experiment colours_20261121_0800 was started."
    assert sensor.started() == ["colours_20261121_0800"]
    assert sensor.caps == {}


def test_without_its_cap_it_does_not_run_and_waits(sensor: Sensor, declare: Callable[..., None]) -> None:
    declare(budget_usd="1.00")
    sensor.at(NOON)
    sensor.store_is_away = True
    assert "The experiment of colours waits: the state store is away" in sensor.at(NOON + timedelta(days=1))
    assert sensor.started() == []
    sensor.store_is_away = False
    sensor.at(NOON + timedelta(days=1, minutes=1))
    assert sensor.started("running") == ["colours_20261121_0800"]


def test_a_schedule_needs_the_declaration(write_task: Callable[..., Path]) -> None:
    path = write_task(schedule=WEEKLY)
    with pytest.raises(InputError, match="declares no experiment") as caught:
        load_task(path)
    assert caught.value.file == str(path)


@pytest.mark.parametrize(
    ("experiment", "told"),
    [
        ({"name": "Bad name"}, "name"),
        ({"max_units": 60}, "max_units is below min_units"),
        ({"task": "shapes"}, "task"),
        ({"variants": [{"name": "a", "prompt": "production"}]}, "variants"),
    ],
)
def test_a_declaration_that_cannot_be_used_names_the_field(
    write_task: Callable[..., Path], experiment: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told) as caught:
        load_task(write_task(experiment={**DECLARED, **experiment}))
    assert (caught.value.field or "").startswith("experiment")


def experiment_of(max_units: int, weights: tuple[int, int] = (1, 1), alpha: float = 0.05) -> Experiment:
    arms = [{"name": name, "prompt": name, "weight": one} for name, one in zip("ab", weights, strict=True)]
    return Experiment.model_validate(
        {"name": "e", "task": "t", "variants": arms, "min_units": 10, "max_units": max_units, "alpha": alpha}
    )


def test_enough_units_are_enough_from_some_number_on() -> None:
    """Monotonic, later for small shares and small risks; the number that needs no look is beyond all of them."""

    def least(weights: tuple[int, int], alpha: float) -> int:
        low, high = 20, ALWAYS_ENOUGH - 1
        while low < high:
            middle = (low + high) // 2
            try:
                refuse_undecidable(experiment_of(middle, weights, alpha))
                high = middle
            except InputError:
                low = middle + 1
        return low

    even, uneven, careful = least((1, 1), 0.05), least((99, 1), 0.05), least((99, 1), 1e-9)
    assert 20 <= even < uneven < careful < ALWAYS_ENOUGH - 1
