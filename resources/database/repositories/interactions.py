"""Who was answered with which variant: recorded once, read in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import InteractionRow

ROWS_PER_FETCH = 10_000
KEYS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class InteractionRecord:
    """One answer to a unit.

    Attributes:
        id: of the request, given by the caller; the same id is the same interaction.
        cost_nano_usd, latency_s: of all steps, as charged and taken when the answer was made; None where unknown.
        answer: the text, so that a repeated request is not paid for again; None for what was imported.
        source: `live`, `import` or `ledger` (the process was killed before it could record it).
    """

    experiment: str
    id: str
    unit_id: str
    variant: str
    prompt_version_id: str
    call_id: str | None
    cost_nano_usd: int | None
    latency_s: float | None
    answer: str | None
    at: datetime
    source: str


class SeenInteraction(NamedTuple):
    """What an analysis needs of an interaction."""

    unit_id: str
    variant: str
    cost_nano_usd: int | None
    latency_s: float | None
    at: datetime


def put_many(session: Session, interactions: Sequence[InteractionRecord]) -> int:
    """Store interactions; one that is there already stays as it is. How many were new."""
    return insert_ignore(session, InteractionRow, [as_row(one) for one in interactions])


def find(session: Session, experiment: str, interaction_id: str) -> InteractionRecord | None:
    """The interaction with exactly that id."""
    query = select_record(InteractionRow, InteractionRecord)
    row = session.execute(
        query.where(InteractionRow.experiment == experiment, InteractionRow.id == interaction_id)
    ).one_or_none()
    return None if row is None else read(InteractionRecord, row)


def first_variant(session: Session, experiment: str, unit_id: str) -> str | None:
    """The variant of a unit's first answer."""
    return session.scalar(
        select(InteractionRow.variant)
        .where(InteractionRow.experiment == experiment, InteractionRow.unit_id == unit_id)
        .order_by(InteractionRow.at, InteractionRow.id)
        .limit(1)
    )


def units_of_calls(session: Session, experiment: str, call_ids: Sequence[str]) -> dict[str, str]:
    """The unit each of these calls answered, by call id; unknown calls are absent."""
    found: dict[str, str] = {}
    for start in range(0, len(call_ids), KEYS_PER_QUERY):
        chunk = call_ids[start : start + KEYS_PER_QUERY]
        rows = session.execute(
            select(InteractionRow.call_id, InteractionRow.unit_id).where(
                InteractionRow.experiment == experiment, InteractionRow.call_id.in_(chunk)
            )
        )
        found.update((str(row[0]), row[1]) for row in rows)
    return found


def in_order(session: Session, experiment: str) -> Iterator[SeenInteraction]:
    """All interactions, oldest first, fetched in portions."""
    query = (
        select(
            InteractionRow.unit_id,
            InteractionRow.variant,
            InteractionRow.cost_nano_usd,
            InteractionRow.latency_s,
            InteractionRow.at,
        )
        .where(InteractionRow.experiment == experiment)
        .order_by(InteractionRow.at, InteractionRow.id)
        .execution_options(yield_per=ROWS_PER_FETCH)
    )
    return (SeenInteraction(*row) for row in session.execute(query))


def count(session: Session, experiment: str, *, before: datetime | None = None) -> int:
    """How many there are, or were `before` a time."""
    query = select(func.count()).select_from(InteractionRow).where(InteractionRow.experiment == experiment)
    if before is not None:
        query = query.where(InteractionRow.at <= before)
    return session.scalar(query) or 0
