"""Files of interactions and outcomes: stored once, bad rows named, a bad file refused as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from experiments.laboratory import START, Laboratory, hours
from upath import UPath

from domain.errors import InputError
from resources.database.repositories import interactions, outcomes
from resources.experiments.importing import Importer
from resources.experiments.seeing import see

NOW = START + hours(100)
Write = Callable[..., UPath]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_lines(*lines: str, name: str = "rows.csv") -> UPath:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return UPath(path)

    return write_lines


def at(number: float) -> str:
    return (START + hours(number)).isoformat()


def test_files_make_the_same_observations_as_a_program(lab: Laboratory, write: Write) -> None:
    started = lab.start()
    units = [f"user-{number}" for number in range(40)]
    seen = write(
        "unit_id,at,variant,cost_usd,latency_s",
        *(f"{unit},{at(1 + n / 60)},{started.dealt(unit)},0.000{n:03},0.5" for n, unit in enumerate(units)),
    )
    came = write("unit_id,value,at", *(f"{unit},{n % 2},{at(2)}" for n, unit in enumerate(units)), name="came.csv")
    told: list[tuple[str, int, int | None]] = []
    importer = Importer(lab.database, "wording", NOW, progress=lambda *step: told.append(step))

    first = importer.interactions(seen)
    second = importer.outcomes(came)

    assert (first.rows, first.new, first.repeated, first.quarantined) == (40, 40, 0, [])
    assert (second.rows, second.new, second.repeated, second.quarantined) == (40, 40, 0, [])
    assert told[-1] == ("storing outcomes", 40, 40)
    observed = see(lab.database, started, NOW).observations
    assert observed.outcome.tolist() == [n % 2 for n in range(40)]
    assert observed.cost.tolist() == [n * 1000 for n in range(40)]


def test_importing_again_changes_nothing(lab: Laboratory, write: Write) -> None:
    started = lab.start()
    seen = write("unit_id,at", *(f"u{n},{at(1)}" for n in range(5)), f"u0,{at(1)}")
    came = write("unit_id,value,at", *(f"u{n},1,{at(2)}" for n in range(5)), f"u4,1,{at(3)}", name="came.csv")
    for new in (5, 0):
        importer = Importer(lab.database, "wording", NOW)
        done = importer.interactions(seen)
        assert (done.new, done.repeated) == (new, 6 - new)
        done = importer.outcomes(came)
        assert (done.new, done.repeated) == (new, 6 - new)
    with lab.database.session(read_only=True) as session:
        assert interactions.count(session, "wording") == outcomes.count(session, "wording") == 5
    assert see(lab.database, started, NOW).bookkeeping.counted == 5


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        (",{at}", "unit_id", "missing"),
        ("x" * 201 + ",{at}", "unit_id", "200 characters"),
        ("u1,yesterday", "at", "'yesterday' is not a time"),
        ("u1,2026-11-02T10:00:00", "at", "no time zone"),
        ("u1,2027-01-01T00:00:00Z", "at", "in the future"),
        ("u1,2026-10-31T00:00:00Z", "at", "before the experiment's start"),
        ("u1,{at},wrong", "variant", "no variant 'wrong'"),
        ("u1,{at},{other}", "variant", "the unit was dealt"),
        ("u1,{at},,-1", "cost_usd", "not a number of 0 or more"),
        ("u1,{at},,inf", "cost_usd", "not a number of 0 or more"),
        ("u1,{at},,,fast", "latency_s", "'fast' is not a number"),
        ("u1,{at},,,,,,,", None, "cells"),
    ],
)
def test_a_bad_interaction_is_named_and_the_others_are_stored(
    small_lab: Laboratory, write: Write, line: str, field: str | None, problem: str
) -> None:
    started = small_lab.start()
    other = "control" if started.dealt("u1") == "shorter" else "shorter"
    bad = line.format(at=at(1), other=other)
    good = [f"good-{n},{at(1)},,0.1,0.5" for n in range(20)]
    path = write("unit_id,at,variant,cost_usd,latency_s", *good[:3], bad + "," * max(0, 4 - bad.count(",")), *good[3:])

    done = Importer(small_lab.database, "wording", NOW).interactions(path)

    [line_found] = done.quarantined
    assert (line_found.row, line_found.field, line_found.kind) == (5, field, "invalid")
    assert problem in line_found.problem
    assert line_found.mend
    assert done.new == 20


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        (",,1,{at}", "unit_id", "neither unit nor call"),
        ("u1,,,{at}", "value", "missing"),
        ("u1,,0.5,{at}", "value", "metric is binary"),
        ("u1,,7,{at}", "value", "not between"),
        ("u1,,1,", "at", "not a time"),
        (",lost,1,{at}", "call_id", "made no call 'lost'"),
        ("u1,call-2,1,{at}", "unit_id", "another unit"),
    ],
)
def test_a_bad_outcome_is_named(small_lab: Laboratory, write: Write, line: str, field: str, problem: str) -> None:
    small_lab.start()
    importer = Importer(small_lab.database, "wording", NOW)
    importer.interactions(write("unit_id,at,call_id", *(f"u{n},{at(1)},call-{n}" for n in range(20))))
    good = [f",call-{n},1,{at(2)}" for n in range(20)]
    done = importer.outcomes(write("unit_id,call_id,value,at", line.format(at=at(2)), *good, name="came.csv"))
    assert done.new == 20
    assert [(one.row, one.field) for one in done.quarantined] == [(2, field)]
    assert problem in done.quarantined[0].problem


def test_contradictions_are_told_and_the_first_stands(lab: Laboratory, write: Write) -> None:
    started = lab.start()
    importer = Importer(lab.database, "wording", NOW)
    importer.interactions(write("unit_id,at", f"u1,{at(1)}", f"u2,{at(1)}"))
    importer.outcomes(write("unit_id,value,at", f"u1,1,{at(2)}", name="one.csv"))
    done = importer.outcomes(
        write("unit_id,value,at", f"u1,0,{at(2)}", f"u2,0,{at(2)}", f"u2,1,{at(2)}", name="two.csv")
    )
    assert (done.new, [(one.row, one.kind) for one in done.quarantined]) == (1, [(4, "conflict"), (2, "conflict")])
    assert see(lab.database, started, NOW).observations.outcome.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["unit_id,when", "u1,x"], "no column 'at'"),
        (["unit_id,at"], "holds no row"),
        (["unit_id,at", "u1,x", "u2,y", f"u3,{at(1)}"], "2 of 3 rows cannot be used"),
    ],
)
def test_a_bad_file_stores_nothing(lab: Laboratory, write: Write, lines: list[str], problem: str) -> None:
    lab.start()
    with pytest.raises(InputError, match=problem) as caught:
        Importer(lab.database, "wording", NOW).interactions(write(*lines))
    assert caught.value.file
    with lab.database.session(read_only=True) as session:
        assert interactions.count(session, "wording") == 0


def test_units_of_another_part_of_the_layer_are_left_out(small_lab: Laboratory, write: Write) -> None:
    started = small_lab.start(layer={"name": "shop", "end": 5000})
    units = [f"user-{n}" for n in range(60)]
    inside = [unit for unit in units if started.takes(unit)]
    path = write("unit_id,at", *(f"{unit},{at(1)}" for unit in units))
    done = Importer(small_lab.database, "wording", NOW, max_quarantined=1.0).interactions(path)
    assert 15 < len(inside) < 45
    assert done.new == len(inside)
    assert {one.field for one in done.quarantined} == {"unit_id"}


def test_jsonl_is_read_as_well(small_lab: Laboratory, write: Write) -> None:
    small_lab.start()
    importer = Importer(small_lab.database, "wording", NOW)
    later = (START + hours(1) + timedelta(minutes=1)).isoformat()
    lines = (f'{{"unit_id": 17, "at": "{at(1)}", "cost_usd": 0.5}}', f'{{"unit_id": "x", "at": "{later}"}}')
    assert importer.interactions(write(*lines, name="a.jsonl")).new == 2
