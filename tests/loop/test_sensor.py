"""The sensor over the catalog: new content starts a run, a new date does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop.watch import Watch
from loop.workplace import INGEST, TASK, Example, Workplace, task_values


def touch(path: Path) -> None:
    later = path.stat().st_mtime + 60
    os.utime(path, (later, later))


def change(place: Workplace, edit: Callable[[dict[str, Any]], None]) -> None:
    values = task_values()
    edit(values)
    place.write_task(values)


def test_a_new_task_becomes_a_partition_and_one_run_of_both_assets(watch: Watch) -> None:
    assert watch.tick() == {TASK: sorted(INGEST)}
    assert watch.partitions() == [TASK]
    assert watch.tick() == {}
    assert "nothing new" in (watch.skipped or "")

    watch.place.write_task({**task_values(), "name": "second"})

    assert watch.tick() == {"second": sorted(INGEST)}
    assert sorted(watch.partitions()) == [TASK, "second"]


def test_a_touched_file_starts_nothing(watch: Watch) -> None:
    watch.place.land("more.csv", [Example(100)])
    watch.tick()
    for path in (watch.place.source, watch.place.landing / "more.csv", watch.place.root / f"catalog/tasks/{TASK}.yaml"):
        touch(path)
    text = watch.place.source.read_bytes()
    watch.place.source.unlink()
    watch.place.source.write_bytes(text)

    assert watch.tick() == {}


def test_a_reformatted_task_file_starts_nothing(watch: Watch) -> None:
    watch.tick()
    path = watch.place.root / f"catalog/tasks/{TASK}.yaml"
    path.write_text("# a comment\n" + yaml.safe_dump(task_values(), sort_keys=True), encoding="utf-8")

    assert watch.tick() == {}


def test_changed_rows_start_the_dataset_only(watch: Watch) -> None:
    watch.tick()
    watch.place.write_rows([Example(number) for number in range(13)])

    assert watch.tick() == {TASK: ["dataset"]}
    assert watch.tick() == {}


def test_rows_of_the_same_size_and_date_are_the_same_file(watch: Watch) -> None:
    """An untouched file is not read again: that is what makes a tick cheap on large files."""
    watch.tick()
    before = watch.place.source.stat()
    watch.place.source.write_bytes(watch.place.source.read_bytes().swapcase())
    os.utime(watch.place.source, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert watch.tick() == {}


def test_a_landed_file_starts_the_dataset_once_it_is_whole(watch: Watch) -> None:
    watch.tick()
    watch.place.land("more.csv.part", [Example(100)])
    assert watch.tick() == {}
    (watch.place.landing / "more.csv.part").rename(watch.place.landing / "more.csv")

    assert watch.tick() == {TASK: ["dataset"]}
    assert watch.tick() == {}


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda task: task["prompt"].update(system_prompt="Elsewhere."), id="text"),
        pytest.param(lambda task: task["prompt"].update(model="openai/other"), id="model"),
        pytest.param(lambda task: task["prompt"]["parameters"].update(max_output_tokens=9), id="parameters"),
    ],
)
def test_a_changed_prompt_starts_the_prompt_only(watch: Watch, edit: Callable[[dict[str, Any]], None]) -> None:
    watch.tick()
    change(watch.place, edit)

    assert watch.tick() == {TASK: ["prompt_version"]}
    assert watch.tick() == {}


@pytest.mark.parametrize(
    ("edit", "assets"),
    [
        pytest.param(
            lambda task: task["prompt"]["output"]["choices"].append("barn"), sorted(INGEST), id="output contract"
        ),
        pytest.param(lambda task: task.update(evaluators=[{"kind": "exact_match"}]), ["dataset"], id="evaluators"),
        pytest.param(lambda task: task["dataset"]["split"].update(seed=4), ["dataset"], id="split"),
        pytest.param(lambda task: task["budget"].update(total_usd="2.00"), None, id="budget"),
        pytest.param(lambda task: task.update(description="New words."), None, id="description"),
    ],
)
def test_what_the_rows_are_checked_against_starts_the_dataset(
    watch: Watch, edit: Callable[[dict[str, Any]], None], assets: list[str] | None
) -> None:
    watch.tick()
    change(watch.place, edit)

    assert watch.tick() == ({TASK: assets} if assets else {})


def test_a_broken_file_is_logged_and_hides_no_other(watch: Watch) -> None:
    watch.tick()
    broken = watch.place.root / "catalog/tasks/broken.yaml"
    broken.write_text("name: [broken\n", encoding="utf-8")
    watch.place.write_task({**task_values(), "name": "second"})

    assert watch.tick() == {"second": sorted(INGEST)}
    assert "broken" not in watch.partitions()
    assert watch.tick() == {}
    assert "1 task files cannot be read" in (watch.skipped or "")
    assert str(broken) in watch.log()


def test_a_task_file_that_breaks_and_is_mended_unchanged_starts_nothing(watch: Watch) -> None:
    watch.tick()
    path = watch.place.root / f"catalog/tasks/{TASK}.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\nnonsense: [", encoding="utf-8")
    assert watch.tick() == {}
    path.write_text(text, encoding="utf-8")

    assert watch.tick() == {}


def test_a_missing_dataset_file_hides_no_other_task(watch: Watch) -> None:
    watch.place.write_task({**task_values(), "name": "second"})
    values = task_values()
    values["dataset"]["source"] = "../datasets/nowhere.csv"
    watch.place.write_task({**values, "name": "lost"})

    requested = watch.tick()

    assert requested.keys() == {TASK, "second", "lost"}  # the run of `lost` says what is missing
    watch.place.write_rows([Example(number) for number in range(13)])
    assert watch.tick() == {TASK: ["dataset"], "second": ["dataset"]}


def test_what_the_command_line_read_is_not_read_again(watch: Watch) -> None:
    watch.place.run(*INGEST)

    assert watch.tick() == {}
    watch.place.write_rows([Example(number) for number in range(13)])
    assert watch.tick() == {TASK: ["dataset"]}


def test_what_changed_since_the_command_line_read_is_read(watch: Watch) -> None:
    watch.place.run(*INGEST)
    change(watch.place, lambda task: task["prompt"].update(system_prompt="Elsewhere."))

    assert watch.tick() == {TASK: ["prompt_version"]}


def test_a_prompt_that_no_run_registered_is_registered(watch: Watch) -> None:
    watch.place.run("dataset")

    assert watch.tick() == {TASK: sorted(INGEST)}
