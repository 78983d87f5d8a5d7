"""Setting three books against each other: the provider's invoice, the ledger and the budget scopes."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.provider import InvoiceLine


@dataclass(frozen=True)
class Attempt:
    """A ledger line; `row` is the name the invoice knows it by."""

    attempt_id: str
    row: str
    charge: str
    nano_usd: int
    request_id: str | None


@dataclass(frozen=True)
class Scope:
    """A budget window's totals, nano-USD."""

    name: str
    settled: int
    ambiguous: int
    reserved: int
    frozen: bool

    @property
    def used(self) -> int:
        return self.settled + self.ambiguous + self.reserved


def read_attempts(ledger: Path) -> list[Attempt]:
    """Every attempt in the ledger."""
    connection = sqlite3.connect(ledger)
    try:
        rows = connection.execute(
            "SELECT attempt_id, coalesce(row_id, '(no call)'), charge, attempts.cost_nano_usd, provider_request_id "
            "FROM attempts LEFT JOIN calls USING (call_id)"
        ).fetchall()
    finally:
        connection.close()
    return [Attempt(*row) for row in rows]


def read_scopes(state: Path) -> list[Scope]:
    """Every budget window, as one look sees them together."""
    connection = sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=10)
    try:
        rows = connection.execute("SELECT scope, settled, ambiguous, reserved, frozen FROM scopes").fetchall()
    finally:
        connection.close()
    return [Scope(*row) for row in rows]


def read_pending(state: Path) -> tuple[int, int]:
    """Open intents, and records the ledger does not hold yet."""
    connection = sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute("SELECT (SELECT count(*) FROM intents), (SELECT count(*) FROM outbox)").fetchone()
    finally:
        connection.close()


def disagreements(invoice: Iterable[InvoiceLine], attempts: list[Attempt], scopes: list[Scope]) -> list[str]:
    """Every way in which the books differ, ambiguous attempts set against the invoice one by one; empty is right.

    An answered attempt is its invoice line, to the nano-dollar. What else was billed for a row must be one of the
    row's ambiguous attempts, and no dearer than what that one keeps charged.
    """
    certain = sum(attempt.nano_usd for attempt in attempts if attempt.charge != "ambiguous")
    ambiguous = sum(attempt.nano_usd for attempt in attempts if attempt.charge == "ambiguous")
    wrong = [
        f"{scope.name}: ledger {certain} + {ambiguous}, scope {scope.settled} + {scope.ambiguous} + {scope.reserved}"
        for scope in scopes
        if (scope.settled, scope.ambiguous, scope.reserved) != (certain, ambiguous, 0)
    ]
    lines = {line.request_id: line for line in invoice}
    for attempt in attempts:
        if attempt.charge in ("settled", "overrun"):
            line = lines.pop(attempt.request_id or "", None)
            if line is None or (line.key, line.nano_usd) != (attempt.row, attempt.nano_usd):
                wrong.append(f"attempt {attempt.attempt_id} is charged {attempt.nano_usd}, billed as {line}")
    open_by_row: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.charge == "ambiguous":
            open_by_row[attempt.row].append(attempt)
    return wrong + _unmatched(lines.values(), open_by_row)


def _unmatched(lines: Iterable[InvoiceLine], open_by_row: dict[str, list[Attempt]]) -> list[str]:
    wrong: list[str] = []
    for line in sorted(lines, key=lambda each: each.nano_usd):
        held = open_by_row[line.key]
        fitting = next((attempt for attempt in held if attempt.nano_usd >= line.nano_usd), None)
        if fitting is None:
            wrong.append(f"{line} was billed, and no ambiguous attempt of its row covers it")
        else:
            held.remove(fitting)
    return wrong
