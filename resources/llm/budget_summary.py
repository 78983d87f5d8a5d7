"""What is left of each budget and where the month is heading, from the state store and the ledger.

The mean per day is what was charged in the last 7 × 24 hours, divided by 7, or by the days since the scope's first
charge where that is less (at least 1). The month's projection is what was charged since the month began, plus that mean
for each day, fractions included, until it ends. Both count ambiguous charges as spent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from resources.database.repositories.spending import ScopeSpend
from resources.llm.scopes import calendar_at, cap_name, current_windows
from resources.llm.state.protocol import ScopeState

_DAY_S = 86_400.0
MEAN_DAYS = 7
# Far enough back to see that a scope is older than the days its mean is taken over.
_LOOK_BACK_DAYS = 14


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One scope now; money in nano-USD.

    Attributes:
        scope: the name that caps are given for.
        window: what is charged now, e.g. `day:2026-11-22`; the name itself for scopes without windows.
        spent_nano_usd: certainly billed in that window.
        today_nano_usd: charged since midnight, in all windows of the name, ambiguous amounts included.
        mean_day_nano_usd: mean charge of a day lately.
        month_projection_nano_usd: what the calendar month will come to if it goes on like this.
    """

    scope: str
    window: str
    cap_nano_usd: int | None
    spent_nano_usd: int
    ambiguous_nano_usd: int
    reserved_nano_usd: int
    frozen: bool
    today_nano_usd: int
    mean_day_nano_usd: int
    month_projection_nano_usd: int

    @property
    def remaining_nano_usd(self) -> int | None:
        """What may still be reserved; None without a cap, 0 after an overrun."""
        if self.cap_nano_usd is None:
            return None
        return max(0, self.cap_nano_usd - self.spent_nano_usd - self.ambiguous_nano_usd - self.reserved_nano_usd)


def looked_at(now: float, zone: tzinfo) -> tuple[datetime, tuple[datetime, datetime, datetime]]:
    """How far back the ledger is read, and where today, the last days and this month begin."""
    calendar = calendar_at(now, zone)
    since = min(calendar.month_start, now - _LOOK_BACK_DAYS * _DAY_S)
    starts = (calendar.day_start, now - MEAN_DAYS * _DAY_S, calendar.month_start)
    return _moment(since), (_moment(starts[0]), _moment(starts[1]), _moment(starts[2]))


def summarise(
    states: Sequence[ScopeState], caps: Mapping[str, int], spends: Sequence[ScopeSpend], now: float, zone: tzinfo
) -> tuple[BudgetLine, ...]:
    """One line per scope name that has a cap, a current window or charges of late; by name.

    Args:
        spends: of the periods that `looked_at` names.
    """
    windows = current_windows(now, zone)
    by_window = {state.scope: state for state in states}
    current = {cap_name(scope) for scope in by_window if windows.get(cap_name(scope), scope) == scope}
    names = sorted({*caps, *current, *(cap_name(spend.scope) for spend in spends)})
    lines = []
    for name in names:
        window = windows.get(name, name)
        state = by_window.get(window) or ScopeState(window, caps.get(name), 0, 0, 0, frozen=False)
        own = [spend for spend in spends if cap_name(spend.scope) == name]
        lines.append(_line(name, state, own, now, zone))
    return tuple(lines)


def _line(name: str, state: ScopeState, spends: Sequence[ScopeSpend], now: float, zone: tzinfo) -> BudgetLine:
    today, lately, month = (sum(spend.spent_nano_usd[i] for spend in spends) for i in range(3))
    first_at = min((spend.first_at.timestamp() for spend in spends), default=now)
    days = min(max((now - first_at) / _DAY_S, 1.0), MEAN_DAYS)
    mean_day = round(lately / days)
    days_left = (calendar_at(now, zone).month_end - now) / _DAY_S
    return BudgetLine(
        scope=name,
        window=state.scope,
        cap_nano_usd=state.cap_nano_usd,
        spent_nano_usd=state.settled_nano_usd,
        ambiguous_nano_usd=state.ambiguous_nano_usd,
        reserved_nano_usd=state.reserved_nano_usd,
        frozen=state.frozen,
        today_nano_usd=today,
        mean_day_nano_usd=mean_day,
        month_projection_nano_usd=month + round(mean_day * days_left),
    )


def _moment(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, UTC)
