"""What came of units and answers. The first outcome recorded for a unit, or for a call, stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.interactions import KEYS_PER_QUERY, ROWS_PER_FETCH
from resources.database.repositories.records import as_row
from resources.database.tables import OutcomeRow


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """One outcome, 0 to 1. `key` says what it belongs to: `unit:<id>`, or `call:<id>` for a single answer."""

    experiment: str
    key: str
    unit_id: str
    call_id: str | None
    value: float
    at: datetime
    recorded_at: datetime
    source: str


class SeenOutcome(NamedTuple):
    """What an analysis needs of an outcome."""

    unit_id: str
    value: float
    at: datetime


def put_many(session: Session, outcomes: Sequence[OutcomeRecord]) -> int:
    """Store outcomes; a key that is there already keeps its first one. How many were new."""
    return insert_ignore(session, OutcomeRow, [as_row(one) for one in outcomes])


def values_of(session: Session, experiment: str, keys: Sequence[str]) -> dict[str, float]:
    """The recorded values by key; keys without one are absent."""
    found: dict[str, float] = {}
    for start in range(0, len(keys), KEYS_PER_QUERY):
        chunk = keys[start : start + KEYS_PER_QUERY]
        rows = session.execute(
            select(OutcomeRow.key, OutcomeRow.value).where(
                OutcomeRow.experiment == experiment, OutcomeRow.key.in_(chunk)
            )
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def in_order(session: Session, experiment: str) -> Iterator[SeenOutcome]:
    """All outcomes by their key, fetched in portions."""
    query = (
        select(OutcomeRow.unit_id, OutcomeRow.value, OutcomeRow.at)
        .where(OutcomeRow.experiment == experiment)
        .order_by(OutcomeRow.key)
        .execution_options(yield_per=ROWS_PER_FETCH)
    )
    return (SeenOutcome(*row) for row in session.execute(query))


def count(session: Session, experiment: str) -> int:
    """How many there are."""
    return session.scalar(select(func.count()).select_from(OutcomeRow).where(OutcomeRow.experiment == experiment)) or 0
