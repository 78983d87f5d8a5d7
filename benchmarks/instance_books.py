"""The loopback provider's invoice, the ledger and the budgets, by the names of rows."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from benchmarks.books import Attempt, Books, set_against
from benchmarks.instance_place import Place, name_in
from benchmarks.meter import InvoiceLine
from benchmarks.stores import Scope
from resources.database.tables import AttemptRow, CallRow
from resources.llm import open_client_sync

REST_S = 60.0
RowPlace = tuple[str | None, str | None, str | None]


@dataclass(frozen=True)
class Ledger:
    """Every attempt, and which row of the provider's each row of the ledger is.

    Attributes:
        problems: rows of the ledger that are several rows of the provider's, or the other way round.
    """

    attempts: list[Attempt]
    names: dict[RowPlace, str]
    problems: list[str]

    def name_of(self, task: str, batch_id: str, row: str) -> str:
        """The name of a batch's row."""
        return self.names.get((task, batch_id, row), "(unknown)")

    @property
    def ambiguous(self) -> Counter[str]:
        """Attempts whose answer nobody heard, by row."""
        return Counter(attempt.row for attempt in self.attempts if attempt.charge == "ambiguous")


def scopes_at_rest(place: Place) -> list[Scope]:
    """The month, once what dead processes had reserved is booked. Writes what is still to be written to the ledger."""
    end = time.monotonic() + REST_S
    while True:
        with open_client_sync(place.environment.core_settings()) as client:
            client.flush()
            found = [one for one in client.budgets() if one.scope.startswith("month")]
        if not any(one.reserved_nano_usd for one in found) or time.monotonic() > end:
            return [
                Scope(one.scope, one.settled_nano_usd, one.ambiguous_nano_usd, one.reserved_nano_usd, frozen=False)
                for one in found
            ]
        time.sleep(1)


def read_ledger(place: Place) -> Ledger:
    """Everything, once it is at rest."""
    scopes_at_rest(place)
    with place.database.session(read_only=True) as session:
        rows = list(
            session.execute(
                select(AttemptRow, CallRow.task, CallRow.batch_id, CallRow.row_id).outerjoin(
                    CallRow, CallRow.call_id == AttemptRow.call_id
                )
            )
        )
    billed = {line.request_id: line.key for line in invoice_of(place)}
    names: dict[RowPlace, str] = {}
    problems: list[str] = []
    for attempt, *where in rows:
        name = billed.get(attempt.provider_request_id or "")
        if name is not None and names.setdefault((where[0], where[1], where[2]), name) != name:
            problems.append(f"the attempts of row {where} asked for {name} and for another row")
    if len(set(names.values())) != len(names):
        problems.append("two rows of the ledger asked for the same row")
    attempts = [_attempt(row, names.get((task, batch, of), "(unknown)")) for row, task, batch, of in rows]
    return Ledger(attempts, names, problems)


def invoice_of(place: Place) -> list[InvoiceLine]:
    """What the provider billed, under the ids that it answered with."""
    server = place.provider.server
    bodies = {line["custom_id"]: line["body"] for job in server.jobs.values() for line in job.lines}
    found: list[InvoiceLine] = []
    for line in list(server.invoice):
        in_job = line.request_id.startswith("batch-")
        body: dict[str, Any] = bodies[line.request_id.removeprefix("batch-")] if in_job else server.requests[line.index]
        answer_id = f"chatcmpl-batch-{line.index}" if in_job else line.request_id
        tokens = line.input_tokens + line.output_tokens
        found.append(InvoiceLine(answer_id, name_in(body), line.model, line.nano_usd, line.received_at, tokens))
    return found


def set_invoice_against(place: Place, ledger: Ledger, scopes: list[Scope]) -> Books:
    """The three books, as `books.set_against` compares them."""
    books = set_against(invoice_of(place), ledger.attempts, scopes)
    if not scopes:
        books.differences.append("there is no budget of the month")
    books.differences += ledger.problems
    return books


def _attempt(row: AttemptRow, name: str) -> Attempt:
    return Attempt(
        attempt_id=row.attempt_id,
        row=name,
        model=row.model,
        charge=row.charge,
        outcome=row.outcome,
        nano_usd=row.cost_nano_usd,
        request_id=row.provider_request_id,
        admitted_at=row.started_at.timestamp(),
        settled_at=row.finished_at.timestamp(),
    )
