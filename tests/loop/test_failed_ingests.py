"""What a failed run of `ingest` left unread is asked for again; the sensor's cursor has moved on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from loop.watch import Watch
from loop.workplace import INGEST, TASK, Example, task_values

from assets.permanent_failure import PERMANENT_FAILURE_TAG
from domain.errors import StateUnavailableError
from jobs.ingest import ingest
from resources.catalog.catalog import CatalogEntry
from resources.catalog.snapshot import Snapshot, take_snapshot
from sensors.asking_again import Failures, pause_s
from sensors.failed_ingests import LOOK_BACK, MOST_AGAIN, ingests_to_repeat


def fail_all(watch: Watch, **tags: str) -> None:
    """The requested runs, failed as by a store that was away."""
    for request in watch.requests:
        watch.report_failure(request, **tags)


def task_of(name: str, *, source: str) -> dict[str, Any]:
    values = task_values()
    return {**values, "name": name, "dataset": {**values["dataset"], "source": source}}


@pytest.fixture
def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.asking_again.AGAIN_AFTER_S", 0.0)


@pytest.mark.usefixtures("without_pause")
def test_a_task_whose_run_failed_is_asked_for_until_it_is_read(watch: Watch) -> None:
    assert watch.tick() == {TASK: sorted(INGEST)}
    first = [request.run_key for request in watch.requests]
    fail_all(watch)
    assert watch.tick() == {TASK: sorted(INGEST)}
    assert first != [request.run_key for request in watch.requests]
    fail_all(watch)
    assert watch.tick() == {TASK: sorted(INGEST)}
    assert all(result.success for result in watch.run_all())
    assert watch.tick() == {}


@pytest.mark.usefixtures("without_pause")
def test_only_what_was_not_read_is_asked_for_again(watch: Watch) -> None:
    watch.tick()
    watch.run_all()
    watch.place.write_rows([Example(number) for number in range(13)])
    assert watch.tick() == {TASK: ["dataset"]}
    fail_all(watch)
    assert "dataset" in watch.tick()[TASK]
    assert all(result.success for result in watch.run_all())
    assert watch.tick() == {}


@pytest.mark.usefixtures("without_pause")
def test_bad_input_is_for_a_person_to_mend(watch: Watch) -> None:
    watch.tick()
    fail_all(watch, **{PERMANENT_FAILURE_TAG: "true"})
    assert watch.tick() == {}


@pytest.mark.usefixtures("without_pause")
def test_one_bad_task_of_many_keeps_no_other_from_being_read(watch: Watch) -> None:
    names = [f"task_{number:02d}" for number in range(11)]
    for name in names:
        watch.place.write_task({**task_values(), "name": name}, file=f"{name}.yaml")
    watch.tick()
    assert len(watch.requests) < len(names)
    fail_all(watch, **{PERMANENT_FAILURE_TAG: "true"})
    assert set(watch.tick()) == {TASK, *names}


@pytest.mark.usefixtures("without_pause")
def test_bad_tasks_that_shared_a_run_are_not_asked_for_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = [f"task_{number:02d}" for number in range(11)]
    for name in bad:
        watch.place.write_task(task_of(name, source="nowhere.csv"), file=f"{name}.yaml")

    def is_away(entry: CatalogEntry, *others: Any) -> Snapshot:
        if entry.task.name == TASK:
            raise StateUnavailableError("the store is away", mend="wait.")
        return take_snapshot(entry, *others)

    with monkeypatch.context() as patched:
        patched.setattr("assets.datasets.dataset.take_snapshot", is_away)
        assert set(watch.tick()) == {TASK, *bad}
        assert len(watch.requests) == 1
        assert not any(result.success for result in watch.run_all())
    assert watch.tick() == {TASK: sorted(INGEST)}
    assert all(result.success for result in watch.run_all())
    assert watch.tick() == {}

    watch.place.write_task({**task_values(), "name": bad[0]}, file=f"{bad[0]}.yaml")
    assert watch.tick() == {bad[0]: ["dataset"]}


def test_it_waits(watch: Watch) -> None:
    watch.tick()
    fail_all(watch)
    now = datetime.now(UTC)
    assert watch.tick() == {}
    assert ingests_to_repeat(watch.instance, [TASK], now) == {}
    assert ingests_to_repeat(watch.instance, [TASK], now + timedelta(minutes=11)) == {TASK: 0}


@pytest.mark.usefixtures("without_pause")
def test_it_gives_up_until_the_files_say_something_new(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.failed_ingests.MOST_AGAIN", 2)
    watch.tick()
    for _ in range(2):
        fail_all(watch)
        assert watch.tick() == {TASK: sorted(INGEST)}
    fail_all(watch)
    assert watch.tick() == {}
    watch.place.write_rows([Example(number) for number in range(13)])
    for _ in range(2):
        assert "dataset" in watch.tick()[TASK]
        fail_all(watch)


def test_the_longest_pause_is_shorter_than_what_is_looked_at() -> None:
    assert pause_s(MOST_AGAIN) < LOOK_BACK.total_seconds()


def test_what_dagster_started_again_by_itself_lengthens_no_pause(watch: Watch) -> None:
    now = datetime.now(UTC)
    failures = Failures()
    run = watch.instance.create_run_for_job(watch.job(), tags={})
    again = watch.instance.create_run_for_job(watch.job(), tags={"dagster/root_run_id": run.run_id})
    for one in (run, again):
        watch.instance.report_run_failed(one)
        failures.add(watch.instance.get_run_records(dg.RunsFilter(run_ids=[one.run_id]))[0], now)
    assert failures.asked == 1
    assert not failures.are_over(now)
    assert failures.are_over(now + timedelta(minutes=11))
    assert ingest.name == watch.job().name


def test_pauses_double_up_to_a_day() -> None:
    assert [pause_s(asked) for asked in (0, 1, 2, 3, 9, 10_000)] == [600, 600, 1200, 2400, 86_400, 86_400]
