"""Dropping what nobody reads again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from resources.database.tables import JournalEntryRow, OptimizationRunRow


def finished_runs(session: Session, before: datetime) -> list[str]:
    """Ids of optimization runs that finished before a time and still have a journal."""
    journal = select(JournalEntryRow.run_id).where(JournalEntryRow.run_id == OptimizationRunRow.id).exists()
    query = select(OptimizationRunRow.id).where(
        OptimizationRunRow.status == "finished", OptimizationRunRow.finished_at < before, journal
    )
    return list(session.scalars(query.order_by(OptimizationRunRow.id)))


def drop_journal(session: Session, run_id: str) -> int:
    """Drop a finished run's journal; its result is stored, so nothing is asked again. How many answers it held."""
    dropped = session.scalars(
        delete(JournalEntryRow).where(JournalEntryRow.run_id == run_id).returning(JournalEntryRow.key)
    )
    return len(dropped.all())
