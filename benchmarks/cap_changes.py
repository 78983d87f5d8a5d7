"""Caps that move while money is spent: what may be in use from then on, and who was admitted all the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.books import Attempt
from benchmarks.meter import InvoiceLine
from benchmarks.stores import Scope

BINDS_WITHIN_S = 1.0


@dataclass
class CapChange:
    """One change. Money is nano-USD, times are epoch seconds.

    Attributes:
        spent_before: settled and ambiguous when it was made.
        used_then: the most that was in use when it had to bind; None before.
        until: when the next change was made; None before.
        admitted_late: attempts admitted more than `BINDS_WITHIN_S` after it, though nothing was left to spend.
        last_arrival_s: how long after it the last request arrived, where nothing was left to spend: those admitted
            before may still be on their way through a busy process.
    """

    cap: int
    spent_before: int
    at: float
    used_then: int | None = None
    until: float | None = None
    admitted_late: int = 0
    last_arrival_s: float | None = None

    @property
    def stops_all(self) -> bool:
        """Whether it left nothing to spend."""
        return self.spent_before >= self.cap

    def late(self, attempts: Iterable[Attempt], invoice: Iterable[InvoiceLine]) -> int:
        """How many were admitted after it had to bind and before the next change.

        The ledger says when an attempt asked. One that asked before the next change may have been let in by that, from
        a busy process, so the bill has to have arrived before it, too.
        """
        since = self.at + BINDS_WITHIN_S
        billed = {line.key for line in invoice if line.received_at > since and self._holds_at(line.received_at)}
        late = (each for each in attempts if each.admitted_at > since and self._holds_at(each.admitted_at))
        return sum(attempt.row in billed for attempt in late)

    def last_arrival(self, invoice: Iterable[InvoiceLine]) -> float | None:
        """Seconds from the change to the last bill before the next."""
        moments = (line.received_at for line in invoice)
        late = [moment - self.at for moment in moments if moment > self.at and self._holds_at(moment)]
        return max(late, default=None)

    def _holds_at(self, moment: float) -> bool:
        return self.until is None or moment < self.until


class CapWatch:
    """Knows at every instant how much may be in use, and remembers when more was."""

    def __init__(self, cap: int) -> None:
        self.changes: list[CapChange] = []
        self.cap = cap
        self._highest = cap
        self._bound: int | None = cap
        self._breaches: dict[str, tuple[int, Scope, int]] = {}

    def changing(self, cap: int, scopes: Sequence[Scope], now: float) -> CapChange:
        """A cap is about to be set; until it has to bind, the highest one so far does."""
        change = CapChange(cap, max((scope.spent for scope in scopes), default=0), now)
        if self.changes:
            self.changes[-1].until = now
        self.changes.append(change)
        self.cap = cap
        self._highest = max(self._highest, cap)
        self._bound = None
        return change

    def bound_by(self, change: CapChange, scopes: Sequence[Scope]) -> None:
        """It has to bind from now on: what is in use above it may only become less."""
        change.used_then = max((scope.used for scope in scopes), default=0)
        self._bound = max(change.cap, change.used_then)

    def look(self, scopes: Iterable[Scope]) -> None:
        """Note every scope in which more is in use than may be."""
        bound = self._highest if self._bound is None else self._bound
        for scope in scopes:
            if scope.used <= bound:
                continue
            seen, worst, allowed = self._breaches.get(scope.name, (0, scope, bound))
            if scope.used - bound > worst.used - allowed:
                worst, allowed = scope, bound
            self._breaches[scope.name] = (seen + 1, worst, allowed)

    def breaches(self) -> list[str]:
        """Every scope that was above what it may be, at its worst."""
        return [
            f"{worst.name} was seen above its cap {seen} times; at worst {worst.used} were in use "
            f"({worst.settled} settled, {worst.ambiguous} ambiguous, {worst.reserved} reserved), {allowed} were allowed"
            for seen, worst, allowed in self._breaches.values()
        ]
