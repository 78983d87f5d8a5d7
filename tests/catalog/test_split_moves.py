"""Which rows an edit of the dataset section carries over the seal of the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from domain.dataset import Row, Split, SplitFractions, make_row
from domain.split_moves import SplitMoves, split_moves
from domain.task import Task
from resources.catalog.ingest import ingest

SPLIT = {"seed": 1, "train": 0.5, "dev": 0.2, "test": 0.3}


@pytest.fixture
def path(tmp_path: Path) -> UPath:
    lines = [f"k{n},thing {n},{n % 7},red" for n in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(["key,text,ticket,label", *lines]))
    return UPath(tmp_path / "rows.csv")


def read(spec: dict[str, Any], path: UPath, **changes: Any) -> list[Row]:
    dataset = spec["dataset"] | {"inputs": ["text", "ticket"], "split": SPLIT, **changes}
    return list(ingest(Task.model_validate(spec | {"dataset": dataset}), [path]).rows.values())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"split": SPLIT | {"seed": 2}}, id="seed"),
        pytest.param({"split": SPLIT | {"test": 0.4, "dev": 0.1}}, id="fractions"),
        pytest.param({"inputs": ["text"]}, id="inputs, and with them the ids derived from them"),
        pytest.param({"id": "key", "split": SPLIT | {"seed": 2}}, id="ids declared meanwhile"),
    ],
)
def test_rows_dealt_anew_are_counted(spec: dict, path: UPath, changes: dict[str, Any]) -> None:
    before, now = read(spec, path), read(spec, path, **changes)
    was = {row.inputs["text"]: row.split for row in before}
    into = sum(row.split is Split.TEST and was[row.inputs["text"]] is not Split.TEST for row in now)
    out = sum(row.split is not Split.TEST and was[row.inputs["text"]] is Split.TEST for row in now)
    assert into > 15

    moves = split_moves(before, now)

    assert (moves.into_test, moves.out_of_test) == (into, out)


def test_more_rows_and_other_ids_move_nothing(spec: dict, path: UPath) -> None:
    before = read(spec, path)
    renumbered = path.read_text().replace("k1", "k2x").replace("\nk2,", "\nk1,")
    path.write_text(renumbered + "\nk900,another thing,3,blue\n")
    for now in (read(spec, path), read(spec, path, id="key")):
        assert not split_moves(before, now).any


def test_a_corrected_row_is_known_by_its_id() -> None:
    def spelled(text: str, key: str = "k5") -> Row:
        return make_row({"text": text}, "red", key, SplitFractions())

    same = spelled("thing that stays", "k6")
    spellings = [spelled("thing" + "!" * number) for number in range(30)]
    sealed = next(row for row in spellings if row.split is Split.TEST)
    shown = next(row for row in spellings if row.split is Split.TRAIN)
    assert split_moves([same, shown], [same, sealed]) == SplitMoves(into_test=1, out_of_test=0)
    assert split_moves([same, sealed], [same, shown]) == SplitMoves(into_test=0, out_of_test=1)


def test_a_file_of_other_rows_under_the_same_numbers_moves_nothing() -> None:
    def numbered(what: str) -> list[Row]:
        return [make_row({"text": f"{what} {n}"}, "red", str(n), SplitFractions()) for n in range(100)]

    assert not split_moves(numbered("thing"), numbered("animal")).any
