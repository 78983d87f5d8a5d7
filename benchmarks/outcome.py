"""What a run of the money harness saw, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.books import Doubt
from benchmarks.cap_changes import CapChange
from benchmarks.kill_points import MOMENTS, POINTS
from benchmarks.stores import Scope

SHOWN = 20


@dataclass
class Outcome:
    """Money is nano-USD; `problems` is empty when everything held.

    Attributes:
        cap: the last one; `highest_cap` is what the invoice may never exceed.
        kills: how many died, by point or `at random`.
        spent_at_last_kill: how much of `cap` was spent then.
    """

    client: str
    state: str
    processes: int
    tasks: int
    cap: int
    highest_cap: int
    seconds: float = 0.0
    requests: int = 0
    billed: int = 0
    invoice: int = 0
    ledger_settled: int = 0
    ledger_ambiguous: int = 0
    scopes: list[Scope] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    spent_at_last_kill: float = 0.0
    cap_changes: list[CapChange] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def used(self) -> int:
        """Settled and ambiguous."""
        return self.ledger_settled + self.ledger_ambiguous

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "used": self.used, "held": not self.problems}

    def __str__(self) -> str:
        parts = [self._head(), self._money()]
        if self.client == "core":
            parts += [self._doubts(), self._points()]
            parts += [_change(change) for change in self.cap_changes]
        parts += [f"PROBLEM: {problem}" for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            parts.append(f"and {len(self.problems) - SHOWN} more problems; --json lists all")
        if not self.problems:
            parts.append("everything held")
        return "\n".join(parts)

    def _head(self) -> str:
        return (
            f"{self.client} on {self.state}: {self.processes} processes with {self.tasks} tasks each, "
            f"{sum(self.kills.values())} kills, {self.requests} requests ({self.billed} billed) in {self.seconds:.0f} s"
        )

    def _money(self) -> str:
        share = f"{self.invoice / self.cap:.2%} of the cap of {_usd(self.cap)}"
        if self.client != "core":
            return f"invoice {_usd(self.invoice)}, {share}"
        return (
            f"invoice {_usd(self.invoice)}, {share}; ledger {_usd(self.ledger_settled)} settled + "
            f"{_usd(self.ledger_ambiguous)} ambiguous, {self.used / self.cap:.2%}"
        )

    def _doubts(self) -> str:
        billed = [doubt.billed for doubt in self.doubts if doubt.billed is not None]
        return (
            f"{len(self.doubts)} ambiguous attempts: {len(billed)} were billed, {_usd(sum(billed))} of "
            f"{_usd(sum(doubt.charged for doubt in self.doubts))} charged for all"
        )

    def _points(self) -> str:
        steps = list(dict.fromkeys(point.partition(":")[0] for point in POINTS))
        table = [
            f"  {step:<20}" + "".join(f"{self.kills.get(f'{step}:{moment}', 0):>8}" for moment in MOMENTS)
            for step in steps
        ]
        head = f"  {'died at':<20}" + "".join(f"{moment:>8}" for moment in MOMENTS)
        at_random = self.kills.get("at random", 0)
        others = f"  killed at random: {at_random}; spent at the last kill: {self.spent_at_last_kill:.0%}"
        return "\n".join([head, *table, others])


def _change(change: CapChange) -> str:
    text = f"cap set to {_usd(change.cap)} with {_usd(change.spent_before)} spent: {_usd(change.used_then or 0)} in use"
    if change.stops_all:
        last = "none" if change.last_arrival_s is None else f"the last {change.last_arrival_s:.2f} s later"
        text += f"; admitted after a second: {change.admitted_late}; arrivals: {last}"
    return text


def _usd(nano: int) -> str:
    return f"${nano / 1e9:.6f}"
