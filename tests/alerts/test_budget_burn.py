"""Budgets that run down: each threshold once per window and cap, forecasts only where something can be said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from servers.webhook import Webhook

from resources.alerts.budgets import budget_notices, forecast_nano_usd
from resources.alerts.sinks import WebhookSink
from resources.database.session import Database
from resources.llm.budget_summary import BudgetLine
from sensors.budget_burn import tell_budgets

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = BudgetLine(
    scope="day",
    window="day:2026-11-25",
    cap_nano_usd=10_000,
    spent_nano_usd=0,
    ambiguous_nano_usd=0,
    reserved_nano_usd=0,
    frozen=False,
    today_nano_usd=0,
    mean_day_nano_usd=0,
    month_projection_nano_usd=0,
)


def titles(hook: Webhook) -> list[str]:
    return [one["title"].removeprefix("Budget ") for one in hook.received]


def test_thresholds_are_told_once_each(database: Database, hook: Webhook) -> None:
    sinks = (WebhookSink(hook.url),)
    for hour, spent in ((1, 1_000), (2, 5_000), (2, 5_500), (3, 8_500), (4, 10_000), (5, 10_000)):
        moment = NOON.replace(hour=hour)
        tell_budgets(database, sinks, [replace(DAY, spent_nano_usd=spent)], moment, UTC)
    assert titles(hook) == [
        "day:2026-11-25 has passed 50 %",
        "day:2026-11-25 has passed 80 %",
        "day:2026-11-25 is used up",
    ]


def test_a_jump_is_one_message_and_a_new_cap_another_promise(database: Database, hook: Webhook) -> None:
    sinks, late = (WebhookSink(hook.url),), NOON.replace(hour=23)
    tell_budgets(database, sinks, [replace(DAY, spent_nano_usd=9_000)], late, UTC)
    assert titles(hook) == ["day:2026-11-25 has passed 80 %"]
    tell_budgets(database, sinks, [replace(DAY, spent_nano_usd=9_000, cap_nano_usd=17_000)], late, UTC)
    assert titles(hook)[1:] == ["day:2026-11-25 has passed 50 %"]
    tomorrow = replace(DAY, window="day:2026-11-26", spent_nano_usd=9_000)
    tell_budgets(database, sinks, [tomorrow], late + timedelta(days=1), UTC)
    assert titles(hook)[2:] == ["day:2026-11-26 has passed 80 %"]


def test_a_day_that_will_not_last_is_told_before_it_is_used_up(database: Database, hook: Webhook) -> None:
    sinks = (WebhookSink(hook.url),)
    line = replace(DAY, spent_nano_usd=4_000)
    tell_budgets(database, sinks, [line], NOON.replace(hour=5), UTC)
    assert titles(hook) == []  # too early to say
    tell_budgets(database, sinks, [line], NOON.replace(hour=7), UTC)
    tell_budgets(database, sinks, [line], NOON.replace(hour=8), UTC)
    assert len(titles(hook)) == 1
    assert "will not last" in titles(hook)[0]
    assert hook.received[0]["facts"]["forecast_nano_usd"] == round(4_000 * 24 / 7)


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-25", 24)])
def test_a_day_s_forecast_knows_how_long_the_day_is(date: str, hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    midnight = datetime.fromisoformat(date).replace(tzinfo=zone).timestamp()
    line = replace(DAY, spent_nano_usd=1_000)
    assert forecast_nano_usd(line, midnight + 10 * 3600, zone) == round(1_000 * hours / 10)


def test_windows_without_end_have_no_forecast_and_a_month_has_the_projection() -> None:
    task = replace(DAY, scope="task:a", window="task:a", spent_nano_usd=4_000, month_projection_nano_usd=90_000)
    assert list(budget_notices([task], {}, NOON.timestamp(), UTC)) == []
    month = replace(task, scope="month", window="month:2026-11")
    (notice,) = budget_notices([month], {}, NOON.timestamp(), UTC)
    assert "will not last" in notice.alert.title
    uncapped = replace(month, cap_nano_usd=None)
    assert list(budget_notices([uncapped], {}, NOON.timestamp(), UTC)) == []


def test_every_freeze_of_a_budget_is_told_once(database: Database, hook: Webhook) -> None:
    sinks = (WebhookSink(hook.url),)
    org = replace(DAY, scope="org", window="org", cap_nano_usd=1_000_000)
    other = replace(org, scope="task:a", window="task:a")
    frozen = [False, True, True, False, False, True, True, False, True]
    for hour, is_frozen in enumerate(frozen):
        line = replace(org, frozen=is_frozen, spent_nano_usd=1_000 * hour)  # what was under way is still booked
        tell_budgets(database, sinks, [line, replace(other, frozen=hour > 3)], NOON.replace(hour=hour), UTC)
    assert [one["facts"]["scope"] for one in hook.received] == ["org", "task:a", "org", "org"]
    assert {one["severity"] for one in hook.received} == {"error"}
    assert titles(hook)[0].startswith("org is frozen")
    assert len(set(hook.keys)) == 4
