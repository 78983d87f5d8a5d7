"""UTC days of the ledger: which changed since they were copied, and which were copied or removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from resources.database.insert_ignore import dialect_insert
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import ExportedDayRow, LedgerMarkRow, RemovedSpendRow

Marks = Mapping[str, int]
"""The revisions of one day's marks, by writer."""


@dataclass(frozen=True, slots=True)
class ExportedDay:
    """A copied day and what its files hold; `removed_at` says since when its rows are in the files only."""

    day: date
    content_id: str
    calls: int
    attempts: int
    cost_nano_usd: int
    ambiguous_nano_usd: int
    exported_at: datetime
    removed_at: datetime | None


def mark(session: Session, writer: str, days: Iterable[date]) -> None:
    """Note that `writer` changed `days` in this transaction."""
    rows = [{"day": day, "writer": writer, "revision": 1} for day in sorted(days)]
    if not rows:
        return
    statement = dialect_insert(session, LedgerMarkRow).values(rows)
    later = {"revision": LedgerMarkRow.revision + 1}
    session.execute(statement.on_conflict_do_update(index_elements=["day", "writer"], set_=later))


def marks_of(session: Session, day: date) -> Marks:
    """The marks on a day now; to be handed to `unmark` once the day was copied."""
    query = select(LedgerMarkRow.writer, LedgerMarkRow.revision).where(LedgerMarkRow.day == day)
    return {row.writer: row.revision for row in session.execute(query)}


def changed_days(session: Session) -> list[date]:
    """The days that changed since they were copied, oldest first."""
    return list(session.scalars(select(LedgerMarkRow.day).distinct().order_by(LedgerMarkRow.day)))


def unmark(session: Session, day: date, seen: Marks) -> None:
    """Take away the marks that are still what they were when `seen` was read.

    A writer that has changed the day since, even one that has not committed yet, keeps its mark: PostgreSQL makes this
    DELETE wait for it and then compares again.
    """
    for writer, revision in seen.items():
        session.execute(
            delete(LedgerMarkRow).where(
                LedgerMarkRow.day == day, LedgerMarkRow.writer == writer, LedgerMarkRow.revision == revision
            )
        )


def record_export(session: Session, exported: ExportedDay) -> None:
    """Remember what a day's files hold now."""
    row = as_row(exported)
    kept = {name: row[name] for name in row if name not in ("day", "removed_at")}
    statement = dialect_insert(session, ExportedDayRow).values(row)
    session.execute(statement.on_conflict_do_update(index_elements=["day"], set_=kept))


def exported_days(session: Session, *, since: date | None = None) -> list[ExportedDay]:
    """All copied days, oldest first."""
    query = select_record(ExportedDayRow, ExportedDay).order_by(ExportedDayRow.day)
    if since is not None:
        query = query.where(ExportedDayRow.day >= since)
    return [read(ExportedDay, row) for row in session.execute(query)]


def find_exported(session: Session, day: date) -> ExportedDay | None:
    """What is known of the copy of one day."""
    row = session.execute(select_record(ExportedDayRow, ExportedDay).where(ExportedDayRow.day == day)).one_or_none()
    return None if row is None else read(ExportedDay, row)


def removed_days(session: Session) -> list[ExportedDay]:
    """The days whose rows are in the files only, newest first."""
    query = select_record(ExportedDayRow, ExportedDay).where(ExportedDayRow.removed_at.is_not(None))
    return [read(ExportedDay, row) for row in session.execute(query.order_by(ExportedDayRow.day.desc()))]


def set_removed(session: Session, day: date, now: datetime) -> None:
    """The day's rows are in the files only from now on."""
    session.execute(update(ExportedDayRow).where(ExportedDayRow.day == day).values(removed_at=now))


def add_removed_spend(session: Session, lines: Sequence[tuple[str, int, int]]) -> None:
    """Add (scope, spent, ambiguous) of attempts that this transaction removes."""
    if not lines:
        return
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for scope, spent, ambiguous in lines:
        totals[scope][0] += spent
        totals[scope][1] += ambiguous
    rows = [
        {"scope": scope, "spent_nano_usd": spent, "ambiguous_nano_usd": ambiguous}
        for scope, (spent, ambiguous) in sorted(totals.items())
    ]
    for row in rows:
        statement = dialect_insert(session, RemovedSpendRow).values(row)
        added = {name: getattr(RemovedSpendRow, name) + row[name] for name in ("spent_nano_usd", "ambiguous_nano_usd")}
        session.execute(statement.on_conflict_do_update(index_elements=["scope"], set_=added))


def removed_spend(session: Session) -> list[tuple[str, int, int]]:
    """(scope, spent, ambiguous) of all removed attempts."""
    query = select(RemovedSpendRow.scope, RemovedSpendRow.spent_nano_usd, RemovedSpendRow.ambiguous_nano_usd)
    return [cast(tuple[str, int, int], tuple(row)) for row in session.execute(query)]


def removed_within(session: Session, since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """How many days in [since, until), and how much money in nano-USD, are in the files only."""
    query = select(func.count(), func.coalesce(func.sum(ExportedDayRow.cost_nano_usd), 0))
    query = query.where(ExportedDayRow.removed_at.is_not(None))
    if since is not None:
        query = query.where(ExportedDayRow.day >= since.date())
    if until is not None:
        query = query.where(ExportedDayRow.day < until.date())
    days, cost = session.execute(query).one()
    return int(days), int(cost)
