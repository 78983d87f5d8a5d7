"""Telling one freeze of a budget from the next: a scope without windows keeps its name for years."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from resources.database.repositories import alerts
from resources.database.session import Database
from resources.llm.budget_summary import BudgetLine

FROZEN = "budget_frozen"
UNFROZEN = "budget_unfrozen"


def number_freezes(database: Database, lines: Iterable[BudgetLine], now: datetime) -> dict[str, int]:
    """Which freeze each frozen window is in, from 1; what began or ended since the last look is written down.

    A window that was unfrozen and frozen again between two looks is taken for one that stayed frozen.

    Raises:
        DatabaseUnavailableError: nothing is written down; the next look may try again.
    """
    with database.session(read_only=True) as session:
        begun, ended = (_newest(alerts.of_kind(session, kind)) for kind in (FROZEN, UNFROZEN))
    numbers: dict[str, int] = {}
    news: list[tuple[str, str]] = []
    for line in lines:
        last, over = begun.get(line.window, 0), ended.get(line.window, 0)
        if line.frozen:
            numbers[line.window] = max(last, over + 1)
            if numbers[line.window] > last:
                news.append((FROZEN, _key(FROZEN, line.window, numbers[line.window])))
        elif last > over:
            news.append((UNFROZEN, _key(UNFROZEN, line.window, last)))
    if news:
        with database.session() as session:
            for kind, key in news:
                alerts.claim(session, kind, [key], now)
    return numbers


def _key(kind: str, window: str, number: int) -> str:
    return f"{kind}:{number}:{window}"


def _newest(keys: Iterable[str]) -> dict[str, int]:
    """The highest number by window: the oldest are forgotten one day."""
    found: dict[str, int] = {}
    for key in keys:
        _, number, window = key.split(":", 2)
        found[window] = max(found.get(window, 0), int(number))
    return found
