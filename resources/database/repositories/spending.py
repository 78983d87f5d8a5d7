"""Sums over the ledger: what was spent, by what, and in which budget scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, String, case, func, select, type_coerce
from sqlalchemy.orm import Session

from resources.database.repositories import ledger_days
from resources.database.repositories.ledger import finished
from resources.database.repositories.records import AnySelect
from resources.database.tables import AttemptRow, CallRow

SpendKey = Literal["task", "day", "purpose", "prompt_version", "model", "run"]

_OF_CALLS: dict[str, Any] = {
    "task": CallRow.task,
    "purpose": CallRow.purpose,
    "prompt_version": CallRow.prompt_version_id,
    "run": CallRow.run_id,
}


@dataclass(frozen=True, slots=True)
class SpendLine:
    """The sums of one group.

    Attributes:
        key: the task, UTC day (`2026-11-22`), …; None where the ledger knows none.
        calls: calls with at least one attempt; answers from the cache make none.
        spent_nano_usd: settled and overrun attempts.
        ambiguous_nano_usd: reserves of attempts whose bill is unknown.
    """

    key: str | None
    calls: int
    attempts: int
    input_tokens: int
    output_tokens: int
    spent_nano_usd: int
    ambiguous_nano_usd: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over all attempts, by how certain they are, in nano-USD."""

    attempts: int
    settled_nano_usd: int
    overrun_nano_usd: int
    ambiguous_nano_usd: int

    @property
    def spent_nano_usd(self) -> int:
        """What was certainly billed."""
        return self.settled_nano_usd + self.overrun_nano_usd


@dataclass(frozen=True, slots=True)
class ScopeSpend:
    """What one budget window was charged, ambiguous amounts included.

    Attributes:
        first_at: when the first of the attempts looked at was admitted.
        spent_nano_usd: one sum per period that was asked for.
    """

    scope: str
    first_at: datetime
    spent_nano_usd: tuple[int, ...]


def spend(
    session: Session,
    by: SpendKey,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    task: str | None = None,
) -> list[SpendLine]:
    """What the attempts that finished in [since, until) cost, by group; the dearest first, days in their order."""
    key = _key(session, by).label("key")
    spent = _charged("settled", "overrun").label("spent")
    ambiguous = _charged("ambiguous").label("ambiguous")
    query: AnySelect = select(
        key,
        func.count(AttemptRow.call_id.distinct()),
        func.count(),
        func.sum(AttemptRow.input_tokens),
        func.sum(AttemptRow.output_tokens),
        spent,
        ambiguous,
    )
    if by in _OF_CALLS or task is not None:
        query = query.join_from(AttemptRow, CallRow, CallRow.call_id == AttemptRow.call_id, isouter=True)
    if task is not None:
        query = query.where(CallRow.task == task)
    order = [key] if by == "day" else [(spent + ambiguous).desc(), key]
    rows = session.execute(query.where(*finished(since, until)).group_by(key).order_by(*order))
    return [SpendLine(row[0], *(int(value) for value in row[1:])) for row in rows]


def totals(session: Session, *, since: datetime | None = None, until: datetime | None = None) -> Totals:
    """The sums over all attempts that finished in [since, until)."""
    row = session.execute(
        select(func.count(), _charged("settled"), _charged("overrun"), _charged("ambiguous"))
        .select_from(AttemptRow)
        .where(*finished(since, until))
    ).one()
    return Totals(*(int(value or 0) for value in row))


def scope_totals(session: Session) -> list[tuple[str, int, int]]:
    """(scope, spent, ambiguous) in nano-USD for every scope that was ever charged, by attempts removed since too.

    Reads every attempt there is: for rebuilding a lost state store, not for looking.
    """
    scope = _each_scope(session)
    rows = session.execute(
        select(scope, _charged("settled", "overrun"), _charged("ambiguous"))
        .select_from(AttemptRow)
        .group_by(scope)
        .order_by(scope)
    )
    sums = {name: (int(spent), int(ambiguous)) for name, spent, ambiguous in rows}
    for name, spent, ambiguous in ledger_days.removed_spend(session):
        here = sums.get(name, (0, 0))
        sums[name] = (here[0] + spent, here[1] + ambiguous)
    return [(name, *sums[name]) for name in sorted(sums)]


def scope_spends(session: Session, since: datetime, starts: Sequence[datetime]) -> list[ScopeSpend]:
    """Per budget window, the charges of attempts admitted at or after each of `starts`, none before `since`.

    An attempt belongs to the windows of the moment it was admitted, however long it took.
    """
    scope = _each_scope(session)
    sums = [func.sum(case((AttemptRow.started_at >= start, AttemptRow.cost_nano_usd), else_=0)) for start in starts]
    rows = session.execute(
        select(scope, func.min(AttemptRow.started_at), *sums)
        .select_from(AttemptRow)
        .where(AttemptRow.finished_at >= since, AttemptRow.started_at >= since)
        .group_by(scope)
        .order_by(scope)
    )
    return [_scope_spend(*row) for row in rows]


def _scope_spend(scope: str, first_at: datetime, *spent: int) -> ScopeSpend:
    return ScopeSpend(scope, first_at, tuple(int(value) for value in spent))


def _each_scope(session: Session) -> ColumnElement[str]:
    postgresql = session.get_bind().dialect.name == "postgresql"
    each = func.json_array_elements_text if postgresql else func.json_each
    return each(AttemptRow.scopes).table_valued("value", joins_implicitly=True).c.value


def _charged(*charges: str) -> ColumnElement[Any]:
    return func.sum(case((AttemptRow.charge.in_(charges), AttemptRow.cost_nano_usd), else_=0))


def _key(session: Session, by: SpendKey) -> ColumnElement[Any]:
    if by == "model":
        return AttemptRow.model.expression
    if by != "day":
        return _OF_CALLS[by]
    if session.get_bind().dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", AttemptRow.finished_at), "YYYY-MM-DD")
    return func.substr(type_coerce(AttemptRow.finished_at, String), 1, 10)


def day_totals(session: Session, start: datetime, end: datetime) -> tuple[int, int, int, int]:
    """(calls, attempts, cost, ambiguous part of it) of what finished in [start, end); money in nano-USD."""
    calls = session.execute(
        select(func.count()).select_from(CallRow).where(CallRow.finished_at >= start, CallRow.finished_at < end)
    ).scalar_one()
    sums = totals(session, since=start, until=end)
    return calls, sums.attempts, sums.spent_nano_usd + sums.ambiguous_nano_usd, sums.ambiguous_nano_usd
