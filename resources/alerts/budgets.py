"""When a budget is worth a message: it passed 50, 80 or 100 % of its cap, is frozen, or will not last its window.

The forecast of a day is what is gone so far plus the same rate until midnight, and is made once a quarter of the day
has passed. That of a month is the month's projection of the budget summary. Windows without an end have no forecast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from domain.pricing import nano_to_usd
from resources.alerts.alert import Alert, Severity
from resources.llm.budget_summary import BudgetLine
from resources.llm.budget_watch import THRESHOLDS
from resources.llm.scopes import calendar_at

FORECAST_FROM = 0.25
"""Share of a day that must have passed."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class BudgetNotice:
    """Something to be told about one window.

    Attributes:
        keys: what is told by it; a message about 80 % says 50 % too.
    """

    keys: tuple[str, ...]
    alert: Alert


def budget_notices(
    lines: Iterable[BudgetLine], freezes: Mapping[str, int], now: float, zone: tzinfo
) -> Iterator[BudgetNotice]:
    """What is worth telling about the budgets as they are at epoch second `now`; the caller tells each key once.

    Args:
        freezes: of each frozen window, which of its freezes it is in.
    """
    for line in lines:
        cap = line.cap_nano_usd
        if cap is None:
            continue
        gone = line.spent_nano_usd + line.ambiguous_nano_usd
        passed = [percent for percent in THRESHOLDS if gone and gone * 100 >= cap * percent]
        if passed:
            keys = tuple(_key(line, str(percent)) for percent in passed)
            yield BudgetNotice(keys, _passed(line, gone, cap, passed[-1], now))
        if line.frozen:
            yield BudgetNotice((_key(line, f"frozen:{freezes[line.window]}"),), _frozen(line, gone, cap, now))
        forecast = forecast_nano_usd(line, now, zone)
        if forecast is not None and gone < cap < forecast:
            yield BudgetNotice((_key(line, "forecast"),), _will_run_out(line, gone, cap, forecast, now))


def forecast_nano_usd(line: BudgetLine, now: float, zone: tzinfo) -> int | None:
    """What the window will have been charged when it ends; None where it has no end, or it is too early to say."""
    gone = line.spent_nano_usd + line.ambiguous_nano_usd
    if line.scope == "month":
        return line.month_projection_nano_usd
    if line.scope != "day":
        return None
    calendar = calendar_at(now, zone)
    # Noon of the next day lies in it, however long this one is.
    length = calendar_at(calendar.day_start + 1.5 * _DAY_S, zone).day_start - calendar.day_start
    elapsed = now - calendar.day_start
    if elapsed < FORECAST_FROM * length:
        return None
    return round(gone * length / elapsed)


def _key(line: BudgetLine, level: str) -> str:
    # A cap that was changed is another promise.
    return f"budget:{line.window}:{line.cap_nano_usd}:{level}"


def _passed(line: BudgetLine, gone: int, cap: int, percent: int, now: float) -> Alert:
    full = "is used up" if percent == THRESHOLDS[-1] else f"has passed {percent} %"
    severity: Severity = "error" if percent == THRESHOLDS[-1] else "warning"
    return _alert(line, severity, f"Budget {line.window} {full}", gone, cap, now, {"percent": percent})


def _frozen(line: BudgetLine, gone: int, cap: int, now: float) -> Alert:
    title = f"Budget {line.window} is frozen: a provider billed more than an attempt could cost"
    return _alert(line, "error", title, gone, cap, now, {"frozen": True})


def _will_run_out(line: BudgetLine, gone: int, cap: int, forecast: int, now: float) -> Alert:
    title = f"Budget {line.window} will not last: {_usd(forecast)} expected of {_usd(cap)}"
    return _alert(line, "warning", title, gone, cap, now, {"forecast_nano_usd": forecast})


def _alert(
    line: BudgetLine, severity: Severity, title: str, gone: int, cap: int, now: float, facts: Mapping[str, Any]
) -> Alert:
    return Alert(
        kind="budget",
        severity=severity,
        title=title,
        at=datetime.fromtimestamp(now, UTC),
        lines=(
            f"{_usd(gone)} of {_usd(cap)} gone, {_usd(line.reserved_nano_usd)} reserved",
            f"{_usd(line.mean_day_nano_usd)} a day lately, {_usd(line.month_projection_nano_usd)} projected this month",
        ),
        facts={"scope": line.scope, "window": line.window, "gone_nano_usd": gone, "cap_nano_usd": cap, **facts},
    )


def _usd(nano: int) -> str:
    return f"${nano_to_usd(nano):,.4f}"
