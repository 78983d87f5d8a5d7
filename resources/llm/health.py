"""How the core is doing, in one word and in its parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from resources.llm.scopes import cap_name, current_windows
from resources.llm.state.protocol import CacheStats, ModelState, ScopeState

Overall = Literal["healthy", "warning", "degraded"]
BUDGET_WARNING_PERCENT = 90
LIMITER_WARNING = 0.1


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How the work beside the calls goes: what waits for it, how often it failed, and what keeps failing."""

    waiting_calls: int
    failed_steps: int = 0
    failing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """State of the guards at one moment.

    Attributes:
        overall: `degraded` with a breaker not closed or the state store away; `warning` with a budget more than 90 %
            used or frozen, a limiter with less than 10 % left, or work beside the calls that fails; else `healthy`.
        reasons: one sentence per thing that is not well.
        budgets: the windows that charges go to now.
        cache: None when the state store is away.
        ledger_waiting_calls: finished calls that the ledger's database does not hold yet.
        failed_steps: how often work beside the calls (renewing the lease, writing the ledger) ended in an error that
            nobody foresaw, since the client was opened; the log says where.
    """

    overall: Overall
    reasons: tuple[str, ...]
    models: tuple[ModelState, ...]
    budgets: tuple[ScopeState, ...]
    cache: CacheStats | None
    ledger_waiting_calls: int
    state_available: bool = True
    failed_steps: int = 0


def judge(
    models: list[ModelState],
    budgets: list[ScopeState],
    cache: CacheStats,
    upkeep: Upkeep,
    now: float,
    zone: tzinfo = UTC,
) -> Health:
    """The health that these states mean at epoch second `now`."""
    windows = current_windows(now, zone)
    current = tuple(one for one in budgets if windows.get(cap_name(one.scope), one.scope) == one.scope)
    broken = [f"The breaker of {model.model} is {model.breaker}." for model in models if model.breaker != "closed"]
    low = [sentence for budget in current for sentence in _budget_warning(budget)]
    low += [f"The limiter of {model.model} has {left:.0%} left." for model in models for left in _low_limits(model)]
    low += upkeep.failing
    overall: Overall = "degraded" if broken else "warning" if low else "healthy"
    return Health(
        overall,
        (*broken, *low),
        tuple(models),
        current,
        cache,
        ledger_waiting_calls=upkeep.waiting_calls,
        failed_steps=upkeep.failed_steps,
    )


def state_away(problem: str, upkeep: Upkeep) -> Health:
    """The health while the state store cannot be asked: nothing is admitted."""
    return Health(
        "degraded",
        (problem, *upkeep.failing),
        (),
        (),
        None,
        ledger_waiting_calls=upkeep.waiting_calls,
        state_available=False,
        failed_steps=upkeep.failed_steps,
    )


def _budget_warning(budget: ScopeState) -> list[str]:
    if budget.frozen:
        return [f"Budget {budget.scope} is frozen."]
    cap = budget.cap_nano_usd
    used = budget.settled_nano_usd + budget.ambiguous_nano_usd + budget.reserved_nano_usd
    if cap is None or used * 100 <= cap * BUDGET_WARNING_PERCENT:
        return []
    return [
        f"Budget {budget.scope} is {used / cap:.0%} used." if cap else f"Budget {budget.scope} is spent: its cap is 0."
    ]


def _low_limits(model: ModelState) -> list[float]:
    limits = (model.requests_left, model.tokens_left)
    return [left for left in limits if left is not None and left < LIMITER_WARNING]
