"""Budget scopes: which names are good, and which window of time a name means now."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from domain.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_-]*(:[^\s:][^\s]*)?")
_BARE = frozenset({"org", "day", "month"})
_QUALIFIED = frozenset({"task", "run", "experiment"})
_MAX_LENGTH = 300


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


def expand_scopes(names: tuple[str, ...], now: float) -> tuple[str, ...]:
    """The budget windows that `names` mean at epoch second `now` (UTC), each once, in order.

    `day` becomes `day:2026-11-22`, `month` becomes `month:2026-11`; other names stand for themselves.

    Raises:
        InputError: a name is not a scope name.
    """
    return _expand(names, int(now // 60))


def current_windows(now: float) -> dict[str, str]:
    """The current window of each name that has windows."""
    moment = datetime.fromtimestamp(now, UTC)
    return {"day": f"day:{moment:%Y-%m-%d}", "month": f"month:{moment:%Y-%m}"}


def cap_name(window: str) -> str:
    """The scope name whose cap binds `window`: `day` for `day:2026-11-22`, else `window` itself."""
    kind = window.partition(":")[0]
    return kind if kind in ("day", "month") else window


@lru_cache(maxsize=4096)
def _expand(names: tuple[str, ...], minute: int) -> tuple[str, ...]:
    windows = current_windows(minute * 60)
    try:
        checked = [check_scope_name(name) for name in names]
    except ValueError as error:
        raise InputError(str(error), field="scopes", mend="Correct the scopes of the call.") from None
    return tuple(dict.fromkeys(windows.get(name, name) for name in checked))
