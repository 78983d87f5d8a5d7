"""What the guard steps read and write: the rows of one store, seen inside one atomic step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from resources.llm.state.protocol import ScopeState
from resources.llm.state.rules_breaker import Breaker
from resources.llm.state.rules_limiter import Slot, Use

FOLLOW_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ModelGuards:
    """One model's breaker, and until when its limiter is shut (epoch seconds; 0 = open)."""

    breaker: Breaker
    paused_until: float = 0.0

    def extended(self, until: float) -> ModelGuards:
        """The same guards, with the probe in flight exclusive until then."""
        return replace(self, breaker=replace(self.breaker, probe_until=until))


@dataclass(slots=True)
class OpenIntent:
    """An admitted attempt that is not settled. `slot` is where the limiter counts it."""

    attempt_id: str
    model: str
    scopes: tuple[str, ...]
    reserve_nano_usd: int
    tokens: int
    owner: str
    record: str
    slot: int


class ModelTables(Protocol):
    """What tells the state of breakers and limiters."""

    def guards(self, model: str) -> ModelGuards:
        """The model's guards; new ones where it was never asked for."""
        ...

    def model_names(self) -> list[str]:
        """Models that were asked for."""
        ...

    def use(self, model: str, after_slot: int) -> Use:
        """Sum of the slots after `after_slot`."""
        ...


class GuardTables(ModelTables, Protocol):
    """Rows of the guards. Used only while the store holds its lock or transaction, so that a step is atomic."""

    def put_guards(self, model: str, guards: ModelGuards) -> None:
        """Replace the model's guards."""
        ...

    def extend_probes(self, owner: str, until: float) -> None:
        """Keep the owner's probes exclusive until then."""
        ...

    def slots(self, model: str, after_slot: int) -> list[Slot]:
        """The slots after `after_slot`."""
        ...

    def count(self, model: str, slot: int, tokens: int, expired_slot: int) -> None:
        """Count one request of `tokens` in `slot`; slots up to `expired_slot` may go."""
        ...

    def correct_tokens(self, model: str, slot: int, change: int) -> None:
        """Add `change` tokens to `slot`, if it is still there."""
        ...

    def scope(self, scope: str) -> ScopeState:
        """The scope with the cap that binds it; an empty one where nothing was ever booked."""
        ...

    def all_scopes(self) -> list[ScopeState]:
        """Scopes in which anything was ever reserved or booked."""
        ...

    def add(self, scope: str, settled: int, ambiguous: int, reserved: int) -> None:
        """Add to the scope's three totals, nano-USD. Only adding makes a scope exist."""
        ...

    def replace_totals(self, charges: list[tuple[str, int, int]]) -> None:
        """Set all settled and ambiguous totals; scopes not named get 0. Reserves stay those of the open intents."""
        ...

    def set_frozen(self, scope: str, frozen: bool) -> None:
        """Freeze or unfreeze a scope that exists."""
        ...

    def configure_cap(self, name: str, cap_nano_usd: int) -> None:
        """Set the cap, unless the same setting was applied before: what a person set since then stays."""
        ...

    def put_cap(self, name: str, cap_nano_usd: int | None) -> None:
        """Set or lift the cap by hand."""
        ...

    def caps(self) -> dict[str, int]:
        """The caps that hold now, by name."""
        ...

    def intent(self, attempt_id: str) -> OpenIntent | None:
        """The open intent of an attempt."""
        ...

    def intents_of(self, owner: str) -> list[OpenIntent]:
        """The open intents of an owner."""
        ...

    def open_attempts(self) -> list[tuple[str, str]]:
        """Owner and record of every open intent."""
        ...

    def put_intent(self, intent: OpenIntent) -> None:
        """Make an intent durable."""
        ...

    def drop_intent(self, attempt_id: str) -> None:
        """Forget an intent."""
        ...

    def put_record(self, attempt_id: str, record: str) -> None:
        """Append a ledger record to the outbox."""
        ...

    def take_records(self, limit: int) -> list[tuple[str, str]]:
        """The oldest records of the outbox."""
        ...

    def drop_records(self, attempt_ids: list[str]) -> None:
        """Remove records from the outbox."""
        ...

    def knows_owner(self, owner: str) -> bool:
        """Whether the owner is registered as alive."""
        ...

    def see_owner(self, owner: str, now: float) -> None:
        """Register the owner, or note that it is alive."""
        ...

    def drop_owner(self, owner: str) -> None:
        """Deregister the owner."""
        ...

    def dead_owners(self, silent_since: float) -> list[str]:
        """Owners not seen after `silent_since`, and those whose process is known to be gone."""
        ...
