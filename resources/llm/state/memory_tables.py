"""The guards' rows as dictionaries of one process."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from resources.llm.state.protocol import ScopeState
from resources.llm.state.rules_breaker import Breaker
from resources.llm.state.rules_budget import cap_names
from resources.llm.state.rules_limiter import Slot, Use
from resources.llm.state.tables import ModelGuards, OpenIntent

UNSEEN = ModelGuards(Breaker())


@dataclass(slots=True)
class _Totals:
    settled: int = 0
    ambiguous: int = 0
    reserved: int = 0
    frozen: bool = False


@dataclass(slots=True)
class _Cap:
    cap: int | None = None
    configured: int | None = None


NOTHING = _Totals()


class _Slots:
    """What one model's limiter counted, by second, with its sums: asking must not cost more the longer it counts."""

    def __init__(self) -> None:
        self._by_start: dict[int, list[int]] = {}
        self._oldest = 0
        self._requests = 0
        self._tokens = 0

    def __contains__(self, start: int) -> bool:
        return start in self._by_start

    def add(self, start: int, requests: int, tokens: int) -> None:
        """Count so many more in the second that begins at `start`."""
        counted = self._by_start.get(start)
        if counted is None:
            counted = self._by_start[start] = [0, 0]
            self._oldest = min(self._oldest, start) if len(self._by_start) > 1 else start
        counted[0] += requests
        counted[1] += tokens
        self._requests += requests
        self._tokens += tokens

    def drop(self, until: int) -> None:
        """Forget the slots up to `until`."""
        if self._oldest > until or not self._by_start:
            return
        for start in [start for start in self._by_start if start <= until]:
            requests, tokens = self._by_start.pop(start)
            self._requests -= requests
            self._tokens -= tokens
        self._oldest = min(self._by_start, default=0)

    def use(self, after: int) -> Use:
        """The sums after the slot `after`."""
        if self._by_start and self._oldest <= after:
            counted = self.after(after)
            return Use(sum(slot.requests for slot in counted), sum(slot.tokens for slot in counted))
        return Use(self._requests, self._tokens)

    def after(self, after: int) -> list[Slot]:
        """The slots after `after`."""
        return [Slot(start, *counted) for start, counted in self._by_start.items() if start > after]


class MemoryTables:
    """`GuardTables` without a file. Dictionaries keep the order in which rows came."""

    def __init__(self) -> None:
        self._guards: dict[str, ModelGuards] = {}
        self._slots: dict[str, _Slots] = {}
        self._totals: dict[str, _Totals] = {}
        self._caps: dict[str, _Cap] = {}
        self._intents: dict[str, OpenIntent] = {}
        self._outbox: dict[str, str] = {}
        self._seen: dict[str, float] = {}

    def guards(self, model: str) -> ModelGuards:
        return self._guards.get(model, UNSEEN)

    def put_guards(self, model: str, guards: ModelGuards) -> None:
        self._guards[model] = guards

    def model_names(self) -> list[str]:
        return [*self._guards, *self._slots]

    def extend_probes(self, owner: str, until: float) -> None:
        for model, guards in self._guards.items():
            if guards.breaker.probe_owner == owner:
                self._guards[model] = guards.extended(until)

    def use(self, model: str, after_slot: int) -> Use:
        slots = self._slots.get(model)
        return Use() if slots is None else slots.use(after_slot)

    def slots(self, model: str, after_slot: int) -> list[Slot]:
        slots = self._slots.get(model)
        return [] if slots is None else slots.after(after_slot)

    def count(self, model: str, slot: int, tokens: int, expired_slot: int) -> None:
        slots = self._slots.get(model)
        if slots is None:
            slots = self._slots[model] = _Slots()
        slots.drop(expired_slot)
        slots.add(slot, 1, tokens)

    def correct_tokens(self, model: str, slot: int, change: int) -> None:
        slots = self._slots.get(model)
        if slots is not None and slot in slots:
            slots.add(slot, 0, change)

    def scope(self, scope: str) -> ScopeState:
        totals = self._totals.get(scope, NOTHING)
        cap: int | None = None
        for name in cap_names(scope):
            held = self._caps.get(name)
            if held is not None and held.cap is not None and (cap is None or held.cap < cap):
                cap = held.cap
        return ScopeState(scope, cap, totals.settled, totals.ambiguous, totals.reserved, totals.frozen)

    def all_scopes(self) -> list[ScopeState]:
        return [self.scope(scope) for scope in sorted(self._totals)]

    def add(self, scope: str, settled: int, ambiguous: int, reserved: int) -> None:
        totals = self._totals.get(scope)
        if totals is None:
            totals = self._totals[scope] = _Totals()
        totals.settled += settled
        totals.ambiguous += ambiguous
        totals.reserved += reserved

    def replace_totals(self, charges: list[tuple[str, int, int]]) -> None:
        for totals in self._totals.values():
            totals.settled = totals.ambiguous = totals.reserved = 0
        for scope, settled, ambiguous in charges:
            self.add(scope, settled, ambiguous, 0)
        for intent in self._intents.values():
            for scope in intent.scopes:
                self.add(scope, 0, 0, intent.reserve_nano_usd)

    def set_frozen(self, scope: str, frozen: bool) -> None:
        if scope in self._totals:
            self._totals[scope].frozen = frozen

    def configure_cap(self, name: str, cap_nano_usd: int) -> None:
        if name not in self._caps or self._caps[name].configured != cap_nano_usd:
            self._caps[name] = _Cap(cap_nano_usd, cap_nano_usd)

    def put_cap(self, name: str, cap_nano_usd: int | None) -> None:
        self._caps.setdefault(name, _Cap()).cap = cap_nano_usd

    def caps(self) -> dict[str, int]:
        return {name: cap.cap for name, cap in sorted(self._caps.items()) if cap.cap is not None}

    def intent(self, attempt_id: str) -> OpenIntent | None:
        return self._intents.get(attempt_id)

    def intents_of(self, owner: str) -> list[OpenIntent]:
        return [intent for intent in self._intents.values() if intent.owner == owner]

    def open_attempts(self) -> list[tuple[str, str]]:
        return [(intent.owner, intent.record) for intent in self._intents.values()]

    def put_intent(self, intent: OpenIntent) -> None:
        self._intents[intent.attempt_id] = intent

    def drop_intent(self, attempt_id: str) -> None:
        del self._intents[attempt_id]

    def put_record(self, attempt_id: str, record: str) -> None:
        self._outbox[attempt_id] = record

    def take_records(self, limit: int) -> list[tuple[str, str]]:
        return list(islice(self._outbox.items(), limit))

    def drop_records(self, attempt_ids: list[str]) -> None:
        for attempt_id in attempt_ids:
            self._outbox.pop(attempt_id, None)

    def knows_owner(self, owner: str) -> bool:
        return owner in self._seen

    def see_owner(self, owner: str, now: float) -> None:
        self._seen[owner] = now

    def drop_owner(self, owner: str) -> None:
        self._seen.pop(owner, None)

    def dead_owners(self, silent_since: float) -> list[str]:
        return [owner for owner, seen in self._seen.items() if seen <= silent_since]
