"""Budget windows by the calendar of a time zone, over the days on which clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offline_prompts import TEAMS, step

from domain.errors import ConfigurationError
from domain.rendering import render_step
from resources.llm import CallContext, CoreSettings, Request, open_client
from resources.llm.scopes import calendar_at, cap_name, current_windows, expand_scopes

# Half hours, midnights that do not exist (Cairo, Santiago), a day of 23.5 hours (Lord Howe), both hemispheres.
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe")
HOUR = 3600.0

# Every change of clocks from 2024 to 2029 is in reach.
moments = st.floats(min_value=1_704_067_200, max_value=1_893_456_000, allow_nan=False)
zones = st.sampled_from(ZONES).map(ZoneInfo)


@cache
def changes(zone: ZoneInfo) -> list[float]:
    """The hours of 2026 in which the offset changes."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=n) for n in range(366 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return [hours[i].timestamp() for i in range(1, len(hours)) if offsets[i] != offsets[i - 1]]


def check(now: float, zone: ZoneInfo) -> None:
    window = current_windows(now, zone)["day"]
    calendar = calendar_at(now, zone)
    assert window == f"day:{datetime.fromtimestamp(int(now), zone).date().isoformat()}"
    assert expand_scopes(("day", "month", "org"), now, zone)[0] == window
    assert calendar.day_start <= now < calendar.day_start + 25.01 * HOUR
    assert current_windows(calendar.day_start, zone)["day"] == window
    assert current_windows(calendar.day_start - 1, zone)["day"] < window
    month = current_windows(now, zone)["month"]
    assert calendar.month_start <= calendar.day_start
    assert now < calendar.month_end
    assert current_windows(calendar.month_start, zone)["month"] == month
    assert current_windows(calendar.month_start - 1, zone)["month"] < month
    assert current_windows(calendar.month_end - 1, zone)["month"] == month
    assert current_windows(calendar.month_end, zone)["month"] > month
    assert cap_name(window) == "day"


@given(moments, zones)
def test_every_moment_has_one_day_and_one_month(now, zone):
    check(now, zone)


@pytest.mark.parametrize("name", ZONES[1:])
@given(shift=st.floats(min_value=-26 * HOUR, max_value=26 * HOUR))
def test_around_every_change_of_clocks(name, shift):
    zone = ZoneInfo(name)
    found = changes(zone)
    assert found
    for change in found:
        check(change + shift, zone)


@given(zones, st.integers(0, 365 * 24 * 2))
def test_time_never_goes_back_to_an_earlier_day(zone, half_hours):
    now = 1_767_225_600 + half_hours * HOUR / 2
    assert current_windows(now, zone)["day"] <= current_windows(now + HOUR / 2, zone)["day"]


def test_days_have_23_and_25_hours_where_clocks_change():
    berlin = ZoneInfo("Europe/Berlin")
    lengths = set()
    for day in (28, 29, 30):
        noon = datetime(2026, 3, day, 12, tzinfo=berlin).timestamp()
        lengths.add((calendar_at(noon + 86_400, berlin).day_start - calendar_at(noon, berlin).day_start) / HOUR)
    assert lengths == {23.0, 24.0}


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe/"])
def test_an_unknown_time_zone_is_refused(name):
    with pytest.raises(ConfigurationError) as caught:
        CoreSettings.parse({"time_zone": name})
    assert caught.value.field == "time_zone"


@pytest.mark.parametrize(("zone", "day"), [("UTC", "2026-11-22"), ("Asia/Tokyo", "2026-11-23")])
async def test_calls_are_charged_to_the_zone_s_day(tmp_path, zone, day):
    now = datetime(2026, 11, 22, 20, 0, tzinfo=UTC).timestamp()
    settings = CoreSettings(state="memory", ledger=f"sqlite:///{tmp_path}/l.db", time_zone=zone, budgets={"day": 1})  # pyright: ignore
    async with open_client(settings, clock=lambda: now) as llm:
        messages = render_step(step(TEAMS), {"message": "Where is my parcel?"})
        await llm.complete(Request("offline/nearest", messages), CallContext(scopes=("day",)))
        (state,) = (await llm.health()).budgets
        assert (state.scope, state.cap_nano_usd) == (f"day:{day}", 1_000_000_000)
        line = next(line for line in await llm.budget_summary() if line.scope == "day")
        assert line.window == f"day:{day}"
        assert line.today_nano_usd == line.spent_nano_usd > 0
