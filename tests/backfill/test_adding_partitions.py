"""Partitions are added by the command line, backfills and sensors at once, on Dagster's own SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from assets.partitions import add_partitions, experiments_partitions, tasks_partitions

FILE = "history/runs/index.db"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


class Rival:
    """Another process, which adds one key right before every insert of this one, as long as it has some."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.left: list[str] = []

    def __call__(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO dynamic_partitions" in statement and self.left:
            with closing(sqlite3.connect(self._file)) as connection, connection:
                connection.execute(
                    "INSERT INTO dynamic_partitions (partitions_def_name, partition) VALUES ('tasks', ?)",
                    (self.left.pop(0),),
                )


@pytest.fixture
def rival(tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[Rival]:
    made = Rival(tmp_path / FILE)
    event.listen(Engine, "before_cursor_execute", made)
    yield made
    event.remove(Engine, "before_cursor_execute", made)


def test_what_others_add_meanwhile_costs_nobody_a_key(instance: dg.DagsterInstance, rival: Rival) -> None:
    rival.left = ["b", "d"]

    add_partitions(instance, tasks_partitions, ["a", "b", "c", "d"])

    assert rival.left == []
    assert sorted(instance.get_dynamic_partitions("tasks")) == ["a", "b", "c", "d"]


def test_dagster_alone_refuses_them_all(instance: dg.DagsterInstance, rival: Rival) -> None:
    """When this fails, Dagster has mended it, and `add_partitions` can go."""
    rival.left = ["b"]

    with pytest.raises(IntegrityError):
        instance.add_dynamic_partitions("tasks", ["a", "b"])


def test_keys_are_added_once_and_to_their_set(instance: dg.DagsterInstance) -> None:
    add_partitions(instance, tasks_partitions, ["a", "a"])
    add_partitions(instance, tasks_partitions, ["a", "b"])
    add_partitions(instance, tasks_partitions, [])
    add_partitions(instance, experiments_partitions, ["a"])

    assert instance.get_dynamic_partitions("tasks") == ["a", "b"]
    assert instance.get_dynamic_partitions("experiments") == ["a"]


def test_a_refusal_of_another_kind_is_told(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    add_partitions(instance, tasks_partitions, ["a"])
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON dynamic_partitions BEGIN SELECT RAISE(ABORT, 'it is full'); END"
        )

    with pytest.raises(IntegrityError, match="it is full"):
        add_partitions(instance, tasks_partitions, ["a", "b"])

    assert instance.get_dynamic_partitions("tasks") == ["a"]
