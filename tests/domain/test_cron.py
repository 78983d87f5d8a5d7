"""Cron in a time zone: each tick once, also when clocks change and when nobody looked for days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cron import parse_cron

BERLIN = ZoneInfo("Europe/Berlin")
# Lord Howe Island changes its clocks by half an hour, Apia once left out a whole day.
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(cron: str, first: str, last: str, zone: ZoneInfo = BERLIN) -> list[str]:
    """All ticks in (first, last], as UTC, walked forwards."""
    parsed, moment, found = parse_cron(cron), utc(first), []
    while (moment := parsed.following(moment, zone)) <= utc(last):
        found.append(f"{moment:%m-%d %H:%M}")
    return found


def test_a_time_that_is_skipped_is_due_once_when_the_clocks_jump() -> None:
    # 29 March 2026: 02:00 CET becomes 03:00 CEST at 01:00 UTC.
    assert ticks("30 2 * * *", "2026-03-28T12:00", "2026-03-30T12:00") == ["03-29 01:00", "03-30 00:30"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    # 25 October 2026: 03:00 CEST becomes 02:00 CET at 01:00 UTC.
    assert ticks("30 2 * * *", "2026-10-24T12:00", "2026-10-26T12:00") == ["10-25 00:30", "10-26 01:30"]


def test_a_rhythm_goes_on_through_the_doubled_hour() -> None:
    assert ticks("*/30 * * * *", "2026-10-24T23:59", "2026-10-25T02:00") == [
        "10-25 00:00",
        "10-25 00:30",
        "10-25 01:00",
        "10-25 01:30",
        "10-25 02:00",
    ]
    assert ticks("15 * * * *", "2026-03-29T00:00", "2026-03-29T02:30") == ["03-29 00:15", "03-29 01:15", "03-29 02:15"]


def test_missed_days_are_made_up_once() -> None:
    cron = parse_cron("30 2 * * *")
    away_since, back = utc("2026-11-01T12:00"), utc("2026-11-20T09:00")
    due = cron.latest(away_since, back, BERLIN)
    assert due == utc("2026-11-20T01:30")
    assert cron.latest(back, back + timedelta(hours=12), BERLIN) is None


def test_the_very_moment_belongs_to_the_tick_and_is_not_seen_twice() -> None:
    cron, tick = parse_cron("0 3 * * *"), utc("2026-11-20T02:00")
    assert cron.latest(tick - timedelta(seconds=1), tick, BERLIN) == tick
    assert cron.latest(tick, tick + timedelta(hours=1), BERLIN) is None


def test_days_of_month_and_of_week_are_alternatives() -> None:
    assert ticks("0 0 13 * fri", "2026-11-05T00:00", "2026-11-21T00:00", ZoneInfo("UTC")) == [
        "11-06 00:00",
        "11-13 00:00",
        "11-20 00:00",
    ]
    assert ticks("0 0 * * 7", "2026-11-20T00:00", "2026-11-23T00:00", ZoneInfo("UTC")) == ["11-22 00:00"]
    assert ticks("0 12 29 feb *", "2026-01-01T00:00", "2033-01-01T00:00", ZoneInfo("UTC")) == [
        "02-29 12:00",
        "02-29 12:00",
    ]


@settings(deadline=None, max_examples=60)
@given(
    zone=st.sampled_from(ZONES),
    cron=st.sampled_from(
        ["30 2 * * *", "0 0 * * *", "15 1,3 * * 0", "*/20 * * * *", "7 */3 1-9 * *", "45 1 * 3,4,10 *"]
    ),
    start=st.integers(0, 17 * 365 * 24 * 60),
    looks=st.lists(st.integers(1, 3000), min_size=2, max_size=12),
)
def test_however_often_one_looks_no_tick_is_seen_twice_and_the_last_is_never_missed(
    zone: ZoneInfo, cron: str, start: int, looks: list[int]
) -> None:
    parsed = parse_cron(cron)
    moments = [utc("2011-01-01T00:00") + timedelta(minutes=start)]
    for minutes in looks:
        moments.append(moments[-1] + timedelta(minutes=minutes))
    every: list[datetime] = []
    moment = moments[0]
    while (moment := parsed.following(moment, zone)) <= moments[-1]:
        every.append(moment)
    seen = [due for after, until in pairwise(moments) if (due := parsed.latest(after, until, zone)) is not None]

    assert seen == sorted(set(seen))
    assert set(seen) <= set(every)
    for after, until in pairwise(moments):
        within = [one for one in every if after < one <= until]
        assert parsed.latest(after, until, zone) == (within[-1] if within else None)


@settings(deadline=None, max_examples=30)
@given(zone=st.sampled_from(ZONES), hour=st.integers(0, 23), minute=st.integers(0, 59), year=st.integers(2012, 2027))
def test_a_daily_time_is_due_once_on_every_day_of_the_year(zone: ZoneInfo, hour: int, minute: int, year: int) -> None:
    cron = parse_cron(f"{minute} {hour} * * *")
    moment, days = datetime(year, 1, 1, tzinfo=zone).astimezone(UTC) - timedelta(seconds=1), []
    while (moment := cron.following(moment, zone)).astimezone(zone).year == year:
        days.append(moment.astimezone(zone).date())
    assert len(days) == len(set(days)) == (366 if year % 4 == 0 else 365)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("30 2 * *", "five fields"),
        ("60 2 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day of month"),
        ("0 0 * * funday", "day of week"),
        ("0 0 5-2 * *", "after"),
        ("*/0 * * * *", "1 or more"),
        ("0 0 31 2 *", "never due"),
        ("@sometimes", "five fields"),
    ],
)
def test_what_is_no_expression_says_why(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_cron(text)
