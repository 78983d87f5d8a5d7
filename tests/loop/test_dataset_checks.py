"""The checks of the asset `dataset`, as Dagster records them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from loop.workplace import TASK, Workplace, task_values

from resources.database.repositories import dataset_versions

SPLIT = {"seed": 3, "train": 0.4, "dev": 0.25, "test": 0.35}
Ingest = Callable[..., dict[str, dg.AssetCheckEvaluation]]


@pytest.fixture
def place(make_workplace: Callable[..., Workplace]) -> Workplace:
    return make_workplace(60)


@pytest.fixture
def ingest(place: Workplace) -> Iterator[Ingest]:
    """Takes a snapshot after edits of the task's dataset section, and gives its checks by name."""
    from assets.datasets.dataset import dataset
    from orchestration.task_resources import build_task_resources

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("tasks", [TASK])

        def run(**changes: Any) -> dict[str, dg.AssetCheckEvaluation]:
            values = task_values()
            place.write_task(values | {"dataset": values["dataset"] | changes})
            result = dg.materialize(
                [dataset],
                resources=build_task_resources(place.environment),
                partition_key=TASK,
                instance=instance,
                raise_on_error=False,
            )
            return {one.check_name: one for one in result.get_asset_check_evaluations()}

        yield run


def test_another_deal_of_the_splits_is_told_and_told_again(place: Workplace, ingest: Ingest) -> None:
    assert ingest()["sealed_test"].passed
    dealt_anew = [ingest(split=SPLIT | {"seed": 4})["sealed_test"] for _ in range(2)]

    for check in dealt_anew:
        assert (check.passed, check.severity, check.blocking) == (False, dg.AssetCheckSeverity.ERROR, False)
        assert "dataset version 1" in (check.description or "")
        assert "dataset.split" in (check.description or "")
    with place.database() as database, database.session(read_only=True) as session:
        assert len(dataset_versions.list_dataset_versions(session, TASK)) == 2


def test_an_unread_column_that_hides_repeated_rows_blocks(place: Workplace, ingest: Ingest) -> None:
    lines = [f"Crate {n % 20} holds drums,{n},shed" for n in range(60)]
    place.source.write_text("\n".join(["text,ticket,label", *lines]), encoding="utf-8")

    check = ingest(inputs=["text", "ticket"])["split_leakage"]

    assert (check.passed, check.blocking) == (False, True)
    assert "Take ticket out of dataset.inputs" in (check.description or "")


def test_an_earlier_version_that_cannot_be_read_costs_the_new_one_nothing(place: Workplace, ingest: Ingest) -> None:
    ingest()
    with place.database() as database, database.session(read_only=True) as session:
        [first] = dataset_versions.list_dataset_versions(session, TASK)
    (Path(place.environment.storage_root) / first.storage_path).write_bytes(b"PAR1 damaged")

    checks = ingest(split=SPLIT | {"seed": 4})

    assert checks["split_leakage"].passed
    assert not checks["sealed_test"].passed
    assert "Cannot be told" in (checks["sealed_test"].description or "")
