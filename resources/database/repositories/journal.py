"""The journal of an optimization run: every LM answer it got, by key, so that a resumed run gets it for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.tables import JournalEntryRow


def find(session: Session, run_id: str, key: str) -> dict[str, Any] | None:
    """The answer under `key`."""
    return session.scalar(
        select(JournalEntryRow.answer).where(JournalEntryRow.run_id == run_id, JournalEntryRow.key == key)
    )


def put_many(session: Session, run_id: str, answers: Mapping[str, Mapping[str, Any]], *, now: datetime) -> int:
    """Store answers by key; a key that is there already keeps its first answer. How many were new."""
    rows = [
        {"run_id": run_id, "key": key, "answer": dict(answer), "created_at": now} for key, answer in answers.items()
    ]
    return insert_ignore(session, JournalEntryRow, rows)


def load_all(session: Session, run_id: str) -> dict[str, dict[str, Any]]:
    """All answers of the run, by key."""
    rows = session.execute(select(JournalEntryRow.key, JournalEntryRow.answer).where(JournalEntryRow.run_id == run_id))
    return {row[0]: row[1] for row in rows}
