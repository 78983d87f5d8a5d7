"""What people and starting processes do to the guards: apply settings, move breakers, look."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from resources.llm.state import rules_breaker, rules_limiter
from resources.llm.state.admission import UNLIMITED
from resources.llm.state.protocol import BreakerChange, ModelState, StoreConfig
from resources.llm.state.tables import GuardTables, ModelTables


def apply_caps(tables: GuardTables, config: StoreConfig) -> None:
    """Apply the caps of the settings. Caps the settings don't name stay: another process may need them."""
    for name, cap in config.caps_nano_usd.items():
        tables.configure_cap(name, cap)


def set_breaker(tables: GuardTables, model: str, state: Literal["closed", "open"], now: float) -> BreakerChange | None:
    """Open a breaker from now on, or close it; None if it was there already."""
    guards = tables.guards(model)
    breaker = rules_breaker.opened(now) if state == "open" else rules_breaker.Breaker()
    tables.put_guards(model, replace(guards, breaker=breaker))
    before = guards.breaker.state
    return None if before == state else BreakerChange(model, before, state)


def model_states(tables: ModelTables, config: StoreConfig, now: float) -> list[ModelState]:
    """Every model that was asked for or is limited, by name."""
    names = sorted({*tables.model_names(), *config.limits})
    return [_model_state(tables, name, config, now) for name in names]


def _model_state(tables: ModelTables, model: str, config: StoreConfig, now: float) -> ModelState:
    guards = tables.guards(model)
    limits = config.limits.get(model, UNLIMITED)
    used = tables.use(model, rules_limiter.last_expired_slot(now))
    return ModelState(
        model=model,
        breaker=rules_breaker.state_at(guards.breaker, config.breaker, now),
        consecutive_faults=guards.breaker.consecutive_faults,
        requests_left=rules_limiter.fraction_left(limits.requests_per_minute, used.requests),
        tokens_left=rules_limiter.fraction_left(limits.tokens_per_minute, used.tokens),
        paused_until=guards.paused_until if guards.paused_until > now else None,
    )
