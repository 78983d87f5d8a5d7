"""The budget's arithmetic: which caps bind a scope, whether a reserve fits, and what a settlement books."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from resources.llm.state.protocol import Refused, ScopeState, Settlement, Wait

HELD_POLL_S = 0.05
WINDOWED_NAMES = ("day", "month")


@dataclass(slots=True)
class Booking:
    """What one settlement adds to each of its scopes, and the ledger record that says the same."""

    settled_nano_usd: int
    ambiguous_nano_usd: int
    overrun: bool
    record: str


@lru_cache(maxsize=4096)
def cap_names(scope: str) -> tuple[str, str]:
    """The two names a cap that binds `scope` may have: `day` or `month` for their windows, and its own."""
    name, _, window = scope.partition(":")
    return (name if window and name in WINDOWED_NAMES else scope, scope)


def binding_cap(caps: Iterable[int | None]) -> int | None:
    """The lowest of several caps; None where none is set."""
    return min((cap for cap in caps if cap is not None), default=None)


def ask(scopes: Sequence[ScopeState], reserve_nano_usd: int) -> Wait | Refused | None:
    """None if the reserve fits every scope; else why not. A refusal in one scope outweighs a wait in another."""
    held = False
    for scope in scopes:
        if scope.frozen:
            return Refused("budget_exhausted", f"{scope.scope} is frozen: an attempt cost more than its reserve.")
        if scope.cap_nano_usd is None:
            continue
        spent = scope.settled_nano_usd + scope.ambiguous_nano_usd
        if spent + reserve_nano_usd > scope.cap_nano_usd:
            return Refused("budget_exhausted", _exhausted(scope, reserve_nano_usd))
        held = held or spent + scope.reserved_nano_usd + reserve_nano_usd > scope.cap_nano_usd
    return Wait(HELD_POLL_S, "budget_held") if held else None


def book(reserve_nano_usd: int, settlement: Settlement) -> Booking:
    """What a settlement books. A bill above the reserve is an overrun whatever its sender called it."""
    if settlement.charge == "free":
        return Booking(0, 0, overrun=False, record=settlement.record)
    if settlement.charge == "ambiguous":
        return Booking(0, reserve_nano_usd, overrun=False, record=settlement.record)
    cost, kept = settlement.cost_nano_usd, settlement.also_ambiguous_nano_usd
    if settlement.charge == "settled" and cost > reserve_nano_usd:
        record = settlement.record and amended(settlement.record, charge="overrun")
        return Booking(cost, kept, overrun=True, record=record)
    return Booking(cost, kept, overrun=settlement.charge == "overrun", record=settlement.record)


def lost_record(record: str, reserve_nano_usd: int) -> str:
    """The ledger record of an attempt whose maker died: its whole reserve, as ambiguous."""
    return amended(record, charge="ambiguous", outcome="lost", cost_nano_usd=reserve_nano_usd)


def amended(record: str, **fields: Any) -> str:
    """A JSON object's text with some keys replaced.

    Raises:
        ValueError: `record` is not a JSON object.
    """
    content = json.loads(record)
    if not isinstance(content, dict):
        raise ValueError("A ledger record must be a JSON object.")  # noqa: TRY004 - the text is bad, not its type
    return json.dumps({**content, **fields}, separators=(",", ":"), ensure_ascii=False)


def _exhausted(scope: ScopeState, reserve_nano_usd: int) -> str:
    spent = scope.settled_nano_usd + scope.ambiguous_nano_usd
    return f"{scope.scope} has {spent} of {scope.cap_nano_usd} nano-USD spent; the attempt may need {reserve_nano_usd}."
