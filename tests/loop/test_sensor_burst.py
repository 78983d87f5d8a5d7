"""The sensor over the catalog when very much is new at once: few runs, and nobody loses a task by sharing one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from loop.watch import Watch
from loop.workplace import INGEST, TASK, Example, csv_text, task_values

from resources.database.repositories import dataset_versions, prompt_versions, tasks
from sensors import catalog_files
from sensors.catalog_files import LONGEST_RANGE, MOST_PER_RUN, SINGLY

TASKS = int(os.environ.get("PROMPTORY_BURST_TASKS", "12"))
FILES = int(os.environ.get("PROMPTORY_BURST", "60"))
LONGEST_TICK_S = 45.0
"""Dagster gives up a tick after 60 s."""


def names(number: int, prefix: str = "task") -> list[str]:
    return [f"{prefix}_{n:05d}" for n in range(number)]


def write(watch: Watch, name: str, text: str = "Say where the crate belongs.", **changes: Any) -> None:
    values = task_values(**changes)
    watch.place.write_task({**values, "name": name, "prompt": {**values["prompt"], "system_prompt": f"{name}: {text}"}})


def land(watch: Watch, task: str, number: int, first: int = 1000) -> None:
    """A file of one row in a task's landing folder."""
    folder = watch.place.home / "landing" / task
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"part-{number:05d}.csv").write_text(csv_text([Example(first + number)]), encoding="utf-8")


def timed_tick(watch: Watch) -> dict[str, list[str]]:
    started = time.perf_counter()
    requested = watch.tick()
    assert time.perf_counter() - started < LONGEST_TICK_S
    return requested


def versions(watch: Watch, name: str) -> tuple[int, int]:
    """How many dataset versions and prompt versions of a task are stored."""
    with watch.place.database() as database, database.session(read_only=True) as session:
        datasets = dataset_versions.list_dataset_versions(session, name)
        return len(datasets), len(prompt_versions.list_prompt_versions(session, name))


def test_many_new_tasks_take_few_runs_and_are_stored_once(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    if TASKS < MOST_PER_RUN:
        monkeypatch.setattr(catalog_files, "MOST_PER_RUN", 5)
    most = catalog_files.MOST_PER_RUN
    new = names(TASKS)
    for name in new:
        write(watch, name)
    bad = new[TASKS // 2]
    write(watch, bad, dataset={**task_values()["dataset"], "source": "../datasets/nowhere.csv"})

    assert timed_tick(watch) == {name: sorted(INGEST) for name in (TASK, *new)}
    assert len(watch.requests) == -(-(TASKS + 1) // most)
    keys = [request.run_key for request in watch.requests]
    again = Watch(watch.place, watch.instance)
    again.tick()
    assert [request.run_key for request in again.requests] == keys, "a tick that is lost and made again is the same"
    results = watch.run_all()

    assert [versions(watch, name) for name in new] == [(0 if name == bad else 1, 1) for name in new]
    (failed,) = [result for result in results if not result.success]
    failures = [event.step_failure_data for event in failed.get_step_failure_events()]
    assert [failure.user_failure_data.metadata["failed_partitions"].value.keys() for failure in failures] == [{bad}]
    with watch.place.database() as database, database.session(read_only=True) as session:
        assert len(tasks.list_tasks(session)) == TASKS + 1
    assert timed_tick(watch) == {}
    assert "nothing new" in (watch.skipped or "")

    for name in new[:3]:
        write(watch, name, "Another text.")
    assert watch.tick() == {name: ["prompt_version"] for name in new[:3]}
    assert [request.partition_key for request in watch.requests] == new[:3]


def test_changed_tasks_apart_share_runs_that_leave_the_others_alone(watch: Watch) -> None:
    new = names(26)
    for name in new:
        write(watch, name)
    watch.tick()
    changed = new[::2]
    assert SINGLY < len(changed) <= LONGEST_RANGE
    for name in changed:
        write(watch, name, "Another text.")

    assert watch.tick() == {name: ["prompt_version"] for name in changed}
    (result,) = watch.run_all()

    assert result.success
    assert {event.partition for event in result.get_asset_materialization_events()} == set(changed)
    assert [versions(watch, name) for name in new] == [(0, int(name in changed)) for name in new]


def test_different_changes_ask_for_different_assets(watch: Watch) -> None:
    new = names(SINGLY + 2)
    for name in new:
        write(watch, name)
    watch.tick()
    for name in new[:-1]:
        write(watch, name, "Another text.")
    land(watch, new[0], 1)
    land(watch, new[-1], 1)

    assert watch.tick() == {
        new[0]: ["dataset", "prompt_version"],
        **{name: ["prompt_version"] for name in new[1:-1]},
        new[-1]: ["dataset"],
    }
    assert len(watch.requests) == 3


def test_what_changes_and_changes_back_is_read_each_time(watch: Watch) -> None:
    """Dagster starts no run whose key it has seen."""
    keys: set[str] = set()
    for text in ("one", "two", "one", "two"):
        write(watch, "fickle", text)
        watch.tick()
        keys |= {str(request.run_key) for request in watch.requests if request.partition_key == "fickle"}

    assert len(keys) == 4


def test_a_burst_of_files_for_one_task_is_one_run(watch: Watch) -> None:
    watch.tick()
    for number in range(FILES):
        land(watch, TASK, number)

    assert timed_tick(watch) == {TASK: ["dataset"]}
    assert len(watch.requests) == 1
    assert timed_tick(watch) == {}
    land(watch, TASK, FILES)
    assert timed_tick(watch) == {TASK: ["dataset"]}
    assert len(watch.cursor or "") < 100
    (result,) = watch.run_all()

    (made,) = result.asset_materializations_for_node("dataset")
    assert made.metadata["dagster/row_count"].value == 12 + FILES + 1
    assert made.metadata["files"].value == FILES + 2
    assert len(result.all_events) < 100


def test_a_burst_of_files_over_many_tasks_takes_few_runs(watch: Watch) -> None:
    new = names(max(SINGLY + 2, min(100, FILES // 10)))
    for name in new:
        write(watch, name)
    watch.tick()
    for number in range(FILES):
        land(watch, new[number % len(new)], number)

    assert timed_tick(watch) == {name: ["dataset"] for name in new}
    assert len(watch.requests) == 1
    (result,) = watch.run_all()
    assert result.success
    assert timed_tick(watch) == {}
    rows: dict[str, int] = {}
    with watch.place.database() as database, database.session(read_only=True) as session:
        for name in new:
            (version,) = dataset_versions.list_dataset_versions(session, name)
            rows[name] = version.rows
    assert sum(rows.values()) == 12 * len(new) + FILES


def test_files_that_cannot_be_read_in_one_tick_are_read_in_the_next(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_files, "READING_S", -1.0)
    assert watch.tick() == {}
    assert "1 of them still to be looked at" in (watch.skipped or "")
    monkeypatch.undo()
    assert watch.tick() == {TASK: sorted(INGEST)}


def test_a_file_that_cannot_be_read_hides_no_other_task(watch: Watch) -> None:
    folder = watch.place.home / "landing" / "loop"
    folder.mkdir(parents=True)
    (folder / "one.csv").symlink_to("one.csv")  # to itself: it is there, and nobody can open it
    write(watch, "loop")

    assert watch.tick() == {TASK: sorted(INGEST)}
    assert "loop cannot be read" in watch.log()


def test_the_cursor_survives_what_comes_between(watch: Watch, tmp_path: Path) -> None:
    watch.tick()
    first = watch.cursor
    watch.place.write_rows([Example(number) for number in range(13)])
    watch.tick()
    second, watch.cursor = watch.cursor, first  # the daemon died before it took the new one over
    assert watch.tick() == {TASK: ["dataset"]}
    assert watch.cursor == second
    assert watch.tick() == {}

    watch.cursor = "0:unknown"
    assert watch.tick() == {TASK: sorted(INGEST)}, "what is not known is looked up in the database, which has nothing"


def test_a_cursor_of_old_is_understood(watch: Watch) -> None:
    watch.tick()
    slot = str(watch.cursor).partition(":")[0]
    key = f"promptory/{catalog_files.catalog_files.name}/{watch.place.environment.catalog.resolve()}/{slot}"
    text = watch.instance.daemon_cursor_storage.get_cursor_values({key})[key]

    watch.cursor = text
    assert watch.tick() == {}
