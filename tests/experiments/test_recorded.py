"""What is recorded, once each, and what an analysis sees of it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from experiments.laboratory import START, Laboratory, hours

from domain.errors import ConflictError, InputError, NotFoundError
from domain.experiment.analysis import analyse
from resources.database.repositories import interactions
from resources.database.repositories.interactions import InteractionRecord
from resources.experiments.live import LiveExperiments
from resources.experiments.seeing import see
from resources.experiments.started import Started


def answered(lab: Laboratory, started: Started, unit: str, at_hours: float, variant: str | None = None) -> str:
    """Record one answer; its call id."""
    given = variant or started.dealt(unit)
    call = f"call-{unit}-{at_hours}"
    with lab.database.session() as session:
        interactions.put_many(
            session,
            [
                InteractionRecord(
                    "wording", call, unit, given, started.prompt_version_id(given), call, 1_000, 0.5, None,
                    START + hours(at_hours), "live",
                )
            ],
        )  # fmt: skip
    return call


def live_at(lab: Laboratory, at_hours: float) -> LiveExperiments:
    return LiveExperiments(lab.database, clock=lambda: START + hours(at_hours))


def test_the_first_outcome_stands(lab: Laboratory) -> None:
    answered(lab, lab.start(), "u1", 1)
    live = live_at(lab, 2)
    assert live.record_outcome("wording", 1, unit_id="u1")
    assert not live.record_outcome("wording", 1.0, unit_id="u1")
    with pytest.raises(ConflictError, match="unit:u1 is 1 already; 0 was refused"):
        live.record_outcome("wording", 0, unit_id="u1")


def test_an_outcome_of_a_call_finds_its_unit(lab: Laboratory) -> None:
    call = answered(lab, lab.start(), "u1", 1)
    live = live_at(lab, 2)
    assert live.record_outcome("wording", 1, call_id=call)
    with pytest.raises(NotFoundError, match="made no call 'other'"):
        live.record_outcome("wording", 1, call_id="other")
    with pytest.raises(InputError, match="another unit"):
        live.record_outcome("wording", 1, call_id=call, unit_id="u2")
    with pytest.raises(InputError, match="a unit or a call"):
        live.record_outcome("wording", 1)


@pytest.mark.parametrize(
    ("value", "at_hours", "problem"),
    [(0.5, 1, "metric is binary"), (2, 1, "not between"), (float("nan"), 1, "not between"), (1, 3, "in the future")],
)
def test_an_impossible_outcome_is_refused(lab: Laboratory, value: float, at_hours: float, problem: str) -> None:
    lab.start()
    with pytest.raises(InputError, match=problem):
        live_at(lab, 2).record_outcome("wording", value, unit_id="u1", at=START + hours(at_hours))


def test_when_an_outcome_counts(lab: Laboratory) -> None:
    """The window is 24 hours from the first answer, end excluded; what lies outside is told and not counted."""
    started = lab.start()
    for unit in ("early", "just", "late", "silent", "open"):
        answered(lab, started, unit, 90 if unit == "open" else 10)
    live = live_at(lab, 100)
    live.record_outcome("wording", 1, unit_id="early", at=START + hours(9))
    live.record_outcome("wording", 1, unit_id="just", at=START + hours(34) - timedelta(microseconds=1))
    live.record_outcome("wording", 1, unit_id="late", at=START + hours(34))
    live.record_outcome("wording", 1, unit_id="open", at=START + hours(91))
    live.record_outcome("wording", 1, unit_id="nobody", at=START + hours(11))

    seen = see(lab.database, started, START + hours(100))

    books = seen.bookkeeping
    assert (books.units, books.waiting, books.without_outcome) == (5, 1, 3)
    assert (books.counted, books.early, books.late, books.unknown) == (2, 1, 1, 1)
    assert seen.observations.outcome.size == 4
    assert np.nansum(seen.observations.outcome) == 1
    assert int(np.isnan(seen.observations.outcome).sum()) == 3
    assert sum(seen.observations.epochs[0].exposed) == 5


def test_silence_can_count_as_nothing_came_of_it(lab: Laboratory) -> None:
    started = lab.start(metric={"missing": "zero"})
    answered(lab, started, "silent", 10)
    assert see(lab.database, started, START + hours(50)).observations.outcome.tolist() == [0.0]


def test_a_unit_is_the_mean_of_its_answers_and_its_first_variants(lab: Laboratory) -> None:
    started = lab.start(metric={"kind": "share"})
    mine = started.dealt("u1")
    other = "control" if mine == "shorter" else "shorter"
    calls = [answered(lab, started, "u1", at) for at in (1, 2)]
    answered(lab, started, "u1", 3, other)
    live = live_at(lab, 5)
    for call, value in zip(calls, (1, 0.25), strict=True):
        live.record_outcome("wording", value, call_id=call, at=START + hours(4))
    seen = see(lab.database, started, START + hours(50))
    assert seen.observations.outcome.tolist() == [0.625]
    assert seen.observations.variants[seen.observations.variant[0]] == mine
    assert (seen.bookkeeping.answers, seen.bookkeeping.crossed) == (3, 1)


def test_units_come_in_the_order_of_their_first_answers_whatever_came_of_them(lab: Laboratory) -> None:
    started = lab.start()
    for unit, at in (("c", 3), ("a", 1), ("b", 2), ("a", 9)):
        answered(lab, started, unit, at)
    live = live_at(lab, 12)
    for unit in ("c", "b", "a"):
        live.record_outcome("wording", float(unit == "b"), unit_id=unit, at=START + hours(10))
    seen = see(lab.database, started, START + hours(60)).observations
    assert seen.outcome.tolist() == [0, 1, 0]
    assert list(seen.at) == sorted(seen.at)
    assert see(lab.database, started, START + hours(26)).observations.outcome.tolist() == [0, 1]


def test_observations_are_known_by_their_content(lab: Laboratory) -> None:
    started = lab.start()
    lab.traffic(started, 60, lambda variant: 0.5 if variant == "control" else 0.7)
    seen = see(lab.database, started, START + hours(100))
    assert seen.content_id == see(lab.database, started, START + hours(200)).content_id
    assert analyse(started.experiment, seen.observations).analysed == 60
    answered(lab, started, "one-more", 2)
    assert see(lab.database, started, START + hours(100)).content_id != seen.content_id
