"""Which reports and promotions are due: new records, not new looks."""

from __future__ import annotations

from datetime import timedelta

from experiments.laboratory import START, TASK, Laboratory, hours

from resources.experiments.lifecycle import stop
from resources.experiments.reporting import conclude, make_report
from resources.experiments.watching import AFTERWARDS, REFRESH, Cursor, what_is_due

NOW = START + hours(24 * 30)


def due(lab: Laboratory, cursor: Cursor, now=NOW):
    kept = Cursor.load(cursor.dump())
    found = what_is_due(lab.database, kept, now)
    cursor.reports, cursor.promotions = kept.reports, kept.promotions
    return sorted(found.reports), found.promotions


def test_a_report_is_due_once_for_what_is_recorded(lab: Laboratory) -> None:
    cursor = Cursor()
    assert due(lab, cursor) == ([], {})
    started = lab.start()
    assert due(lab, cursor) == (["wording"], {})
    assert due(lab, cursor, NOW + hours(9)) == ([], {})
    lab.traffic(started, 20, lambda _: 0.5)
    assert due(lab, cursor, NOW + hours(10)) == (["wording"], {})
    assert due(lab, cursor, NOW + hours(20)) == ([], {})


def test_an_experiment_under_traffic_is_reported_on_now_and_then_only(lab: Laboratory) -> None:
    started, cursor = lab.start(), Cursor()
    due(lab, cursor)
    lab.traffic(started, 20, lambda _: 0.5)
    assert due(lab, cursor, NOW + REFRESH - timedelta(seconds=1)) == ([], {})
    assert due(lab, cursor, NOW + REFRESH) == (["wording"], {})


def test_a_window_that_closes_is_something_new(lab: Laboratory) -> None:
    started, cursor = lab.start(), Cursor()
    lab.traffic(started, 20, lambda _: 0.5)
    due(lab, cursor, START + hours(1))
    assert due(lab, cursor, START + hours(20)) == ([], {})
    assert due(lab, cursor, START + hours(25)) == (["wording"], {})


def test_a_stop_is_reported_on_at_once(lab: Laboratory) -> None:
    lab.start()
    cursor = Cursor()
    due(lab, cursor)
    stop(lab.database, "wording", kind="person", reason="x", stopped_by="a", now=NOW)
    assert due(lab, cursor, NOW + timedelta(seconds=5)) == (["wording"], {})


def test_what_ended_long_ago_is_not_looked_at_again(lab: Laboratory) -> None:
    started, cursor = lab.start(), Cursor()
    stop(lab.database, "wording", kind="person", reason="x", stopped_by="a", now=START + hours(1))
    lab.traffic(started, 20, lambda _: 0.5)
    assert due(lab, cursor, START + hours(1 + 24) + AFTERWARDS) == ([], {})
    assert due(lab, cursor, START + hours(24) + AFTERWARDS) == (["wording"], {})


def test_a_recorded_winner_is_due_until_promotion_has_taken_it_where_the_file_says_so(lab: Laboratory) -> None:
    for name, switch in (("first", "manual"), ("second", "automatic")):
        started = lab.start(name=name, promote=switch, layer={"name": name})
        lab.traffic(started, 900, lambda variant: 0.5 if variant == "control" else 0.75)
        conclude(lab.database, make_report(lab.database, name, NOW), NOW)
    cursor = Cursor()
    reports, promotions = due(lab, cursor)
    assert reports == ["first", "second"]
    assert list(promotions.values()) == [TASK]
    assert due(lab, cursor, NOW + hours(1)) == ([], promotions)
    cursor.promotions.extend(promotions)
    assert due(lab, cursor, NOW + hours(1)) == ([], {})
