"""What the execution core asks of a state store: admission, settlement, cache and recovery.

Admission is one atomic step (breaker, then limiter, then reserve) and settlement another, so that a store behind a
network needs one round trip for each. Times are epoch seconds handed in by the caller: a store owns no clock.

What is made anew for every attempt (here and in the layers) is not frozen, which would triple the price of making it;
nobody changes it all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

BreakerState = Literal["closed", "open", "half_open"]
Charge = Literal["settled", "ambiguous", "overrun", "free"]
WaitCause = Literal["rate_limited", "budget_held", "probe_in_flight"]
RefusalReason = Literal["circuit_open", "budget_exhausted"]
ProviderHealth = Literal["success", "fault", "neutral"]

HOLD = "hold:"
"""What the owner of an intent begins with that outlives every process: a provider's batch job. Such an owner is never
taken for dead, so nobody but the one who settles it ends the intent; the database knows it, too, and gives it back to a
store that lost its memory."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Requests and tokens a model deployment takes per minute; None means unlimited."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a model's breaker opens, for how long, and what closes it again."""

    consecutive_faults: int = 5
    open_s: float = 60.0
    successes_to_close: int = 3
    error_rate: float | None = None
    error_rate_window_s: float = 60.0
    error_rate_min_calls: int = 20


@dataclass(slots=True)
class Intent:
    """An attempt about to be made. `record` is the ledger row (JSON) to book should its maker die.

    Attributes:
        scopes: budget windows already expanded, e.g. `day:2026-11-22`, `task:support_triage`.
        reserve_nano_usd: the attempt's worst case.
        tokens: worst-case input + output tokens, for the limiter.
        owner: the process instance that makes the attempt, or `hold:<id>`.
    """

    attempt_id: str
    model: str
    scopes: tuple[str, ...]
    reserve_nano_usd: int
    tokens: int
    owner: str
    record: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The attempt may be sent; its intent is durable and its reserve is held."""

    probe: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; ask again after `seconds` (or when a settlement wakes you)."""

    seconds: float
    cause: WaitCause


@dataclass(frozen=True, slots=True)
class Refused:
    """Not at all while things stand as they do."""

    reason: RefusalReason
    detail: str


Verdict = Admitted | Wait | Refused


@dataclass(slots=True)
class Settlement:
    """How an admitted attempt ended.

    Attributes:
        cost_nano_usd: what is charged; for `ambiguous` the whole reserve; for `free` 0.
        tokens_used: the provider's count, to correct the limiter; None where unknown.
        health: what the breaker learns.
        pause_s: seconds the model's limiter stays shut, as the provider asked.
        also_ambiguous_nano_usd: of a batch job's hold, what is kept beside the cost for requests whose bill is unknown.
        record: the ledger row (JSON), put into the outbox in the same step; empty where the ledger has it already.
    """

    attempt_id: str
    charge: Charge
    cost_nano_usd: int
    tokens_used: int | None
    health: ProviderHealth
    record: str
    pause_s: float = 0.0
    also_ambiguous_nano_usd: int = 0


@dataclass(frozen=True, slots=True)
class ScopeState:
    """One budget window now. Invariant: settled + ambiguous + reserved <= cap, unless frozen by an overrun."""

    scope: str
    cap_nano_usd: int | None
    settled_nano_usd: int
    ambiguous_nano_usd: int
    reserved_nano_usd: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class ModelState:
    """Breaker and limiter of one model now. `*_left` are fractions of the limit, None without a limit."""

    model: str
    breaker: BreakerState
    consecutive_faults: int
    requests_left: float | None
    tokens_left: float | None
    paused_until: float | None


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A breaker moved; returned by the step that moved it so that the core can emit the event."""

    model: str
    before: BreakerState
    after: BreakerState


@dataclass(frozen=True, slots=True)
class SettleResult:
    """What a settlement caused."""

    breaker: BreakerChange | None = None
    frozen_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A stored answer, as bytes."""

    value: bytes


@dataclass(frozen=True, slots=True)
class CacheLead:
    """Nobody has the answer: the asker leads and must `cache_fill` or `cache_abandon`."""


@dataclass(frozen=True, slots=True)
class CacheFollow:
    """Another call is fetching the answer; ask again after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Happened:
    """The argument of a CancelledError whose step happened all the same, with what it brought."""

    result: Any


def cache_namespace(key: str) -> str:
    """The namespace that a cache key begins with; empty where it has none."""
    return key.rpartition(":")[0]


CacheLookup = CacheHit | CacheLead | CacheFollow


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Entries and bytes held now; hits and misses since the store was made, None for a single namespace."""

    entries: int
    size_bytes: int
    hits: int | None
    misses: int | None


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The guards' settings, applied when a process opens the store. Caps by scope *name* pattern.

    A cap for `day` binds every window `day:<date>`, one for `month` every `month:<yyyy-mm>`; any other scope is
    matched by its whole name.
    """

    caps_nano_usd: dict[str, int] = field(default_factory=dict)
    limits: dict[str, ModelLimits] = field(default_factory=dict)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    cache_max_entries: int = 10_000
    lease_s: float = 15.0


class StateStore(Protocol):
    """Shared state of breakers, limiters, budgets and cache. Every method may raise `StateUnavailableError`."""

    async def open(self, config: StoreConfig, owner: str, now: float) -> None:
        """Apply `config`, register `owner` as alive, book the open intents of dead owners as ambiguous."""
        ...

    async def admit(self, intent: Intent, now: float) -> Verdict:
        """Ask breaker, limiter and every scope, all or nothing; make the intent durable when admitted."""
        ...

    async def settle(self, settlement: Settlement, now: float) -> SettleResult:
        """Turn a reserve into its charge, exactly once; a second settlement of an attempt changes nothing."""
        ...

    async def set_cap(self, scope: str, cap_nano_usd: int | None) -> None:
        """Set or lift a cap; binds all processes on their next admission."""
        ...

    async def caps(self) -> dict[str, int]:
        """The caps that hold now, nano-USD by scope name, whether anything was charged or not."""
        ...

    async def unfreeze(self, scope: str) -> None:
        """Let a scope frozen by an overrun admit again."""
        ...

    async def set_breaker(self, model: str, state: Literal["closed", "open"], now: float) -> BreakerChange | None:
        """Open or close a model's breaker by hand."""
        ...

    async def scopes(self) -> list[ScopeState]:
        """All budget windows that exist."""
        ...

    async def capped_scopes(self) -> list[ScopeState]:
        """Those of them that a cap binds."""
        ...

    async def models(self, now: float) -> list[ModelState]:
        """All models that were asked for or are limited."""
        ...

    async def open_attempts(self) -> list[tuple[str, str]]:
        """(owner, record) of every attempt that was admitted and is not settled, holds included; in no order."""
        ...

    async def take_outbox(self, limit: int) -> list[tuple[str, str]]:
        """Up to `limit` (attempt_id, record) pairs not yet acknowledged, oldest first."""
        ...

    async def acknowledge_outbox(self, attempt_ids: list[str]) -> None:
        """Forget records that the ledger holds."""
        ...

    async def rebuild(self, charges: list[tuple[str, int, int]], holds: Sequence[Intent] = ()) -> None:
        """Replace all scope totals by (scope, settled, ambiguous) as summed from the ledger, and open `holds` anew.

        Asks no cap: what they hold was admitted before the store lost its memory.
        """
        ...

    async def reclaim(self) -> None:
        """Open anew what this process has under way and the store lost; asks no cap. Until then it settles none of it.

        For after a store that lost its memory was opened again and its totals rebuilt; else nothing happens.
        """
        ...

    def cache_peek(self, key: str, now: float) -> bytes | None:
        """The answer, if this process has it at hand: a hit like any other, without a step at the store."""
        ...

    async def cache_lookup(self, key: str, owner: str, now: float) -> CacheLookup:
        """The answer, or the lead, or who to wait for. A lead not renewed for `lease_s` passes on."""
        ...

    async def cache_fill(self, key: str, value: bytes, ttl_s: float, now: float) -> None:
        """Store the leader's answer and wake followers."""
        ...

    async def cache_abandon(self, key: str, owner: str) -> None:
        """The leader failed: the next follower leads."""
        ...

    async def cache_clear(self, namespace: str | None = None) -> int:
        """Drop all entries, or those of one namespace (`cache_namespace`); how many there were."""
        ...

    async def cache_stats(self, now: float, namespace: str | None = None) -> CacheStats:
        """Counts for people, of all entries or those of one namespace."""
        ...

    async def renew(self, owner: str, now: float) -> None:
        """Heartbeat: keeps the owner's intents and leads its own; books those of owners silent for `lease_s`.

        A lead the owner was not told of, or could not end because the store was away, is not kept: it runs out.
        """
        ...

    async def close(self, owner: str, now: float) -> None:
        """Deregister `owner` and release files and connections. Safe to call twice."""
        ...
