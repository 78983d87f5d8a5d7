"""What is left of budgets, checked against sums worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from core.asking import ask, charged_to

from resources.database.repositories.spending import ScopeSpend
from resources.llm.budget_summary import looked_at, summarise
from resources.llm.state.protocol import ScopeState

# 2026-11-22 12:00 UTC: 8.5 days of the month are left.
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW = NOON.timestamp()


def spent(scope: str, *amounts: int, days_ago: float = 10.0) -> ScopeSpend:
    return ScopeSpend(scope, NOON - timedelta(days=days_ago), amounts)


def lines(states: list[ScopeState], caps: dict[str, int], spends: list[ScopeSpend]) -> dict[str, Any]:
    return {line.scope: line for line in summarise(states, caps, spends, NOW, UTC)}


def test_windows_of_a_name_are_one_line_with_the_current_window_s_money():
    states = [
        ScopeState("day:2026-11-21", 1000, 400, 0, 0, frozen=True),
        ScopeState("day:2026-11-22", 1000, 300, 20, 5, frozen=False),
    ]
    spends = [spent("day:2026-11-21", 0, 400, 400, days_ago=1.5), spent("day:2026-11-22", 320, 320, 320, days_ago=0.5)]

    line = lines(states, {"day": 1000}, spends)["day"]

    assert (line.window, line.spent_nano_usd, line.ambiguous_nano_usd, line.reserved_nano_usd) == (
        "day:2026-11-22",
        300,
        20,
        5,
    )
    assert (line.remaining_nano_usd, line.today_nano_usd, line.frozen) == (675, 320, False)
    assert line.mean_day_nano_usd == 480  # 720 in 1.5 days
    assert line.month_projection_nano_usd == 720 + 8.5 * 480


def test_an_old_scope_s_mean_is_over_seven_days_and_a_new_one_s_over_one_at_least():
    spends = [spent("org", 10, 700, 2000), spent("task:new", 50, 50, 50, days_ago=0.01)]

    found = lines([], {}, spends)

    assert (found["org"].mean_day_nano_usd, found["org"].month_projection_nano_usd) == (100, 2000 + 850)
    assert (found["task:new"].mean_day_nano_usd, found["task:new"].month_projection_nano_usd) == (50, 50 + 425)
    assert found["org"].remaining_nano_usd is None


def test_a_cap_nobody_was_charged_to_is_listed():
    line = lines([], {"month": 7, "task:x": 0}, [])

    assert (line["month"].window, line["month"].remaining_nano_usd) == ("month:2026-11", 7)
    assert (line["task:x"].remaining_nano_usd, line["task:x"].month_projection_nano_usd) == (0, 0)


def test_an_overrun_leaves_nothing():
    line = lines([ScopeState("org", 10, 15, 0, 0, frozen=True)], {"org": 10}, [])["org"]

    assert (line.remaining_nano_usd, line.frozen) == (0, True)


def test_the_ledger_is_read_from_the_month_s_beginning_in_its_zone():
    since, (today, lately, month) = looked_at(NOW, ZoneInfo("Asia/Kolkata"))

    assert month == since == datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    assert today == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
    assert lately == NOON - timedelta(days=7)


async def test_a_client_s_summary_counts_what_its_calls_cost(bench, time):
    one = await bench(budgets={"org": "1", "task:x": "0.5"})
    first = await one.llm.complete(ask("first"), charged_to("org", "task:x", "day"))
    time.now += 3 * 86_400
    second = await one.llm.complete(ask("second"), charged_to("org"))

    found = {line.scope: line for line in await one.llm.budget_summary()}
    await one.llm.set_cap("task:y", None)
    await one.llm.set_cap("task:x", None)
    after = {line.scope: line for line in await one.llm.budget_summary()}

    both = first.cost_nano_usd + second.cost_nano_usd
    assert found["org"].spent_nano_usd == both > 0
    assert found["org"].today_nano_usd == second.cost_nano_usd
    assert found["org"].mean_day_nano_usd == pytest.approx(both / 3, abs=1)
    assert found["task:x"].remaining_nano_usd == 500_000_000 - first.cost_nano_usd
    assert (found["day"].spent_nano_usd, found["day"].today_nano_usd) == (0, 0)
    assert after["task:x"].cap_nano_usd is None
    assert "task:y" not in after
