"""Setting three books against each other: the provider's invoice, the ledger and the budget scopes."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.meter import InvoiceLine
from benchmarks.stores import Scope


@dataclass(frozen=True)
class Attempt:
    """A ledger line; `row` is the name the invoice knows it by. Times are epoch seconds."""

    attempt_id: str
    row: str
    model: str
    charge: str
    outcome: str
    nano_usd: int
    request_id: str | None
    admitted_at: float
    settled_at: float


@dataclass(frozen=True)
class Doubt:
    """An ambiguous attempt, and what it turned out to have been billed; None is nothing."""

    attempt_id: str
    row: str
    outcome: str
    charged: int
    billed: int | None


@dataclass
class Books:
    """The three sums, nano-USD, the ambiguous attempts one by one, and every way in which the books differ."""

    certain: int
    ambiguous: int
    invoice: int
    doubts: list[Doubt] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


_EVERY_ATTEMPT = (
    "SELECT attempt_id, coalesce(row_id, '(no call)'), attempts.model, charge, outcome, "
    "attempts.cost_nano_usd, provider_request_id, attempts.started_at, attempts.finished_at "
    "FROM attempts LEFT JOIN calls USING (call_id)"
)


def read_attempts(ledger: Path | str) -> list[Attempt]:
    """Every attempt in the ledger: an SQLite file, or the URL of one or of a PostgreSQL database."""
    server = isinstance(ledger, str) and ledger.startswith("postgresql")
    rows = _rows_of_server(str(ledger)) if server else _rows_of_file(str(ledger).removeprefix("sqlite:///"))
    return [Attempt(*row[:-2], *map(_epoch, row[-2:])) for row in rows]


def _rows_of_file(path: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
    try:
        return connection.execute(_EVERY_ATTEMPT).fetchall()
    finally:
        connection.close()


def _rows_of_server(url: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1)) as connection:
        return connection.execute(_EVERY_ATTEMPT).fetchall()


def set_against(invoice: Iterable[InvoiceLine], attempts: Sequence[Attempt], scopes: Iterable[Scope]) -> Books:
    """The books, ambiguous attempts set against the invoice one by one.

    An answered attempt is its invoice line, to the nano-dollar. What else was billed for a row must be one of the
    row's ambiguous attempts, and no dearer than what that one keeps charged.
    """
    lines = {line.request_id: line for line in invoice}
    books = Books(
        certain=sum(attempt.nano_usd for attempt in attempts if attempt.charge != "ambiguous"),
        ambiguous=sum(attempt.nano_usd for attempt in attempts if attempt.charge == "ambiguous"),
        invoice=sum(line.nano_usd for line in lines.values()),
    )
    for scope in scopes:
        if (scope.settled, scope.ambiguous, scope.reserved) != (books.certain, books.ambiguous, 0):
            books.differences.append(
                f"the ledger holds {books.certain} settled and {books.ambiguous} ambiguous, the scope {scope.name} "
                f"{scope.settled} and {scope.ambiguous}, and {scope.reserved} reserved"
            )
    for attempt in attempts:
        if attempt.charge in ("settled", "overrun"):
            line = lines.pop(attempt.request_id or "", None)
            if line is None or (line.key, line.nano_usd) != (attempt.row, attempt.nano_usd):
                billed = f"{line.nano_usd} to {line.key}" if line else "nothing"
                books.differences.append(
                    f"attempt {attempt.attempt_id} of {attempt.row} is charged {attempt.nano_usd}, billed was {billed}"
                )
    _match(books, lines, [attempt for attempt in attempts if attempt.charge == "ambiguous"])
    return books


def _match(books: Books, lines: dict[str, InvoiceLine], ambiguous: Iterable[Attempt]) -> None:
    """Set what was billed and is not settled against ambiguous attempts of the same row."""
    by_row: dict[str, list[InvoiceLine]] = defaultdict(list)
    unnamed: list[Attempt] = []
    for attempt in ambiguous:
        line = lines.pop(attempt.request_id, None) if attempt.request_id else None
        if line is None:
            unnamed.append(attempt)
        else:
            books.doubts.append(_doubt(attempt, line))
    for line in lines.values():
        by_row[line.key].append(line)
    # The dearest attempt takes the row's dearest bill: if any pairing covers all bills, this one does.
    for attempt in sorted(unnamed, key=lambda each: -each.nano_usd):
        rest = by_row[attempt.row]
        line = max(rest, key=lambda each: each.nano_usd, default=None)
        if line is not None:
            rest.remove(line)
        books.doubts.append(_doubt(attempt, line))
    books.differences += [
        f"ambiguous attempt {doubt.attempt_id} of {doubt.row} keeps {doubt.charged}, billed was {doubt.billed}"
        for doubt in books.doubts
        if doubt.billed is not None and doubt.billed > doubt.charged
    ]
    books.differences += [
        f"{line.nano_usd} was billed to {line.key} as {line.request_id}, and no attempt in the ledger is behind it"
        for rest in by_row.values()
        for line in rest
    ]


def _doubt(attempt: Attempt, line: InvoiceLine | None) -> Doubt:
    return Doubt(attempt.attempt_id, attempt.row, attempt.outcome, attempt.nano_usd, line.nano_usd if line else None)


def _epoch(stored: str | datetime) -> float:
    """SQLite keeps times as text without a zone, which is UTC."""
    return (stored if isinstance(stored, datetime) else datetime.fromisoformat(stored).replace(tzinfo=UTC)).timestamp()
