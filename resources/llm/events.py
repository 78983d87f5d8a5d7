"""What the core tells its subscribers: frozen events, and a dispatcher no subscriber can break.

Calls that a provider's batch job made are told when the job is settled, by the process that settles it and at most
once: their purpose is `provider_batch`, and their latency is the job's, from handing over to collecting. A histogram of
latencies leaves that purpose out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from domain.frozen import frozen_value
from domain.pricing import Usage
from resources.llm.state.protocol import BreakerState, Charge
from resources.llm.types import CallContext

_log = logging.getLogger(__name__)


@frozen_value()
class CallFinished:
    """A call ended: answered, fallen back, refused, failed or cancelled. Times are epoch seconds.

    Attributes:
        status: `ok`, `fallback`, `error`, `cancelled`, or `lost` where a provider's job told nothing of it.
        reason: why it is not `ok`: a fallback reason, a fault class, or the error's name.
        usage: of the attempt (or the cached answer) that answered.
        cost_nano_usd: what all attempts of the call were charged.
    """

    call_id: str
    context: CallContext
    requested_model: str
    model: str | None
    status: str
    reason: str | None
    cached: bool
    origin_call_id: str | None
    attempts: int
    usage: Usage
    cost_nano_usd: int
    latency_s: float
    started_at: float
    finished_at: float


@frozen_value()
class AttemptFinished:
    """An admitted attempt was settled. Times are epoch seconds.

    Attributes:
        outcome: `ok`, a fault class, `deadline`, `circuit_open`, `cancelled`, `crashed`, or `lost` as above.
        charge: how certain `cost_nano_usd` is.
        waited_s: seconds its admission took.
        latency_s: seconds the provider took.
    """

    attempt_id: str
    call_id: str
    number: int
    model: str
    purpose: str
    task: str | None
    scopes: tuple[str, ...]
    outcome: str
    charge: Charge
    reserved_nano_usd: int
    cost_nano_usd: int
    usage: Usage
    provider_request_id: str | None
    waited_s: float
    latency_s: float
    started_at: float
    finished_at: float


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A model's circuit breaker moved."""

    model: str
    before: BreakerState
    after: BreakerState
    at: float


@dataclass(frozen=True, slots=True)
class BudgetAlarm:
    """A budget window passed 50, 80 or 100 % of its cap (100: it is full, or first turned a call away)."""

    scope: str
    percent: int
    used_nano_usd: int
    cap_nano_usd: int


@dataclass(frozen=True, slots=True)
class Overrun:
    """A provider billed more than an attempt's worst case."""

    attempt_id: str
    model: str
    scopes: tuple[str, ...]
    reserved_nano_usd: int
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class ScopeFrozen:
    """An overrun froze a budget window; it admits nothing until somebody unfreezes it."""

    scope: str
    attempt_id: str


@dataclass(frozen=True, slots=True)
class LedgerDelayed:
    """Records could not be written to the ledger's database; they are kept and tried again."""

    problem: str
    waiting_calls: int


@dataclass(frozen=True, slots=True)
class StateUnavailable:
    """The state store cannot be reached: paid calls are refused until it is back."""

    problem: str


Event = (
    CallFinished
    | AttemptFinished
    | BreakerChanged
    | BudgetAlarm
    | Overrun
    | ScopeFrozen
    | LedgerDelayed
    | StateUnavailable
)
Subscriber = Callable[[Event], None]


class Dispatcher:
    """Hands each event to every subscriber, in the order they came."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with every later event; the returned function ends that.

        Subscribers run inside the call: they must be quick and must not block.
        """
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Tell everybody. What a subscriber raises is logged and goes no further."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:  # noqa: BLE001 - a subscriber is foreign code, and none may fail a call
                _log.exception("a subscriber failed on %s", type(event).__name__)
