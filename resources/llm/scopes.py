"""Budget scopes: which names are good, and which window of time a name means now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from math import floor
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_-]*(:[^\s:][^\s]*)?")
_BARE = frozenset({"org", "day", "month"})
_QUALIFIED = frozenset({"task", "run", "experiment"})
_MAX_LENGTH = 300
MOST_CAP_USD = 9_000_000_000
"""Below 2^63 nano-USD. The Redis state store compares no more than 9 million USD exactly, and says so itself."""


def check_scope_name(name: str) -> str:
    """`name`, if it names a budget scope: `org`, `day`, `month`, `task:<name>`, `run:<id>`, `experiment:<id>`, …

    A misspelt scope would be a scope without a cap, so a doubtful name is refused.

    Raises:
        ValueError: it does not.
    """
    kind, colon, _ = name.partition(":")
    if not _NAME.fullmatch(name) or len(name) > _MAX_LENGTH:
        raise ValueError(f"{name!r} is not a scope name; write one like org, day, month, task:<name> or run:<id>")
    if kind in _BARE and colon:
        raise ValueError(f"{name!r} is not a scope name; write {kind!r}, its window follows from the clock")
    if kind in _QUALIFIED and not colon:
        raise ValueError(f"{name!r} is not a scope name; write {kind}:<name>")
    return name


def check_cap(usd: Decimal) -> Decimal:
    """`usd`, if it can cap a scope.

    Raises:
        ValueError: it is no amount, or one whose nano-USD no database could hold.
    """
    if not (usd.is_finite() and 0 <= usd <= MOST_CAP_USD):
        raise ValueError(f"this is no cap; write USD, 0 or more (0 admits nothing) and at most {MOST_CAP_USD:,}")
    return usd


def check_time_zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ValueError: this machine knows none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone known here; write one like UTC or Europe/Berlin") from None


def expand_scopes(names: tuple[str, ...], now: float, zone: tzinfo = UTC) -> tuple[str, ...]:
    """The budget windows that `names` mean at epoch second `now`, each once, in order.

    `day` becomes `day:2026-11-22`, `month` becomes `month:2026-11`, by the calendar of `zone`; other names stand for
    themselves.

    Raises:
        InputError: a name is not a scope name.
    """
    return _expand(names, int(now // 60), zone)


def current_windows(now: float, zone: tzinfo = UTC) -> dict[str, str]:
    """The current window of each name that has windows."""
    moment = _moment(now, zone)
    return {"day": f"day:{moment:%Y-%m-%d}", "month": f"month:{moment:%Y-%m}"}


@dataclass(frozen=True, slots=True)
class Calendar:
    """The day and the month around one moment, in epoch seconds. A day has 23 to 25 hours where clocks are changed."""

    day_start: float
    month_start: float
    month_end: float


def calendar_at(now: float, zone: tzinfo = UTC) -> Calendar:
    """Where the windows of epoch second `now` begin and end by the calendar of `zone`."""
    today = _moment(now, zone)
    first = datetime(today.year, today.month, 1, tzinfo=zone)
    following = datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=zone)
    midnight = datetime(today.year, today.month, today.day, tzinfo=zone)
    return Calendar(midnight.timestamp(), first.timestamp(), following.timestamp())


def cap_name(window: str) -> str:
    """The scope name whose cap binds `window`: `day` for `day:2026-11-22`, else `window` itself."""
    kind = window.partition(":")[0]
    return kind if kind in ("day", "month") else window


def _moment(now: float, zone: tzinfo) -> datetime:
    # Whole seconds: `fromtimestamp` rounds, and the last instant of a day must not fall into the next.
    return datetime.fromtimestamp(floor(now), zone)


@lru_cache(maxsize=4096)
def _expand(names: tuple[str, ...], minute: int, zone: tzinfo) -> tuple[str, ...]:
    windows = current_windows(minute * 60, zone)
    try:
        checked = [check_scope_name(name) for name in names]
    except ValueError as error:
        raise InputError(str(error), field="scopes", mend="Correct the scopes of the call.") from None
    return tuple(dict.fromkeys(windows.get(name, name) for name in checked))
