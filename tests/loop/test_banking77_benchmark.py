"""The benchmark on banking77: stated before the first call, measured by the loop itself."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks.banking77 import main, measure, prepare, results, statement
from benchmarks.banking_task import COLUMNS, DATA_VARIABLE, FILES, DataMissingError, Design, data_folder, read_rows
from orchestration.cli.opening import current_database
from resources.database.repositories.call_counts import count_calls

TOPICS = {"lost": "card_lost", "charge": "fee_asked", "code": "pin_help"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = list(TOPICS)
    rows = [(f"my {words[number % 3]} in shop {number}", TOPICS[words[number % 3]]) for number in range(120)]
    for name, part in zip(FILES, (rows[:80], rows[80:]), strict=True):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *part])
    return tmp_path


def test_what_will_be_measured_is_stated_before_the_first_call(folder: Path) -> None:
    environment = prepare(folder / "work", read_rows(folder), Design(per_label=1, candidates=1, dev_rows=10))
    stated = statement(environment)
    with current_database(environment) as database, database.session(read_only=True) as session:
        assert count_calls(session, "banking77").calls == 0
    assert "seed 0: 1 drawn sets of 3" in stated
    assert "can only see gains above" in stated
    found = measure(environment)
    shown = results(found)
    assert found.outcome.decision.look in (0, 1)
    assert all(f"| {arm}" in shown for arm in ("baseline", "random demonstrations, mean of", "optimised"))
    assert found.outcome.random_mean is not None
    search, evaluation = found.stages
    assert search.calls > 10
    assert evaluation.calls >= found.outcome.random_mean.n
    assert search.nano_usd > 0


def test_without_the_rows_it_says_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(SystemExit, match="no part of Promptory"):
        main([])
    (folder / FILES[1]).unlink()
    with pytest.raises(DataMissingError, match=FILES[1]):
        read_rows(folder)


def test_the_real_rows_are_what_the_benchmark_expects() -> None:
    folder = data_folder()
    if folder is None:
        pytest.skip(f"banking77 is not here: set {DATA_VARIABLE} to the folder that holds banking77/")
    rows = read_rows(folder)
    assert (len(rows), len({label for _, label in rows})) == (13_083, 77)
