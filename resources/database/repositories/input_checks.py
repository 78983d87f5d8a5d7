"""Looks at the inputs that production prompts get, by their length; the inputs themselves are kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, TextClause, func, select, text
from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import CallRow, InputCheckRow
from resources.database.tables.ledger import CALLS_OF_PRODUCTION


@dataclass(frozen=True, slots=True)
class InputCheck:
    """One look. Look 0 is the reference and keeps its `sample` of input tokens; the next one begins at `until`."""

    task: str
    prompt_version_id: str
    look: int
    rows: int
    mean_tokens: float
    distance: float
    p_value: float
    alpha: float
    drifted: bool
    sample: list[int] | None
    until: datetime


def save(session: Session, check: InputCheck) -> None:
    """Store a look; one that is there already is left alone."""
    insert_ignore(session, InputCheckRow, [as_row(check)])


def reference_and_latest(
    session: Session, task: str, prompt_version_id: str
) -> tuple[InputCheck | None, InputCheck | None]:
    """Look 0 of a prompt version, and its newest look."""
    query = select_record(InputCheckRow, InputCheck).where(
        InputCheckRow.task == task, InputCheckRow.prompt_version_id == prompt_version_id
    )
    found = [
        session.execute(query.order_by(order).limit(1)).one_or_none()
        for order in (InputCheckRow.look, InputCheckRow.look.desc())
    ]
    reference, latest = (None if row is None else read(InputCheck, row) for row in found)
    return reference, latest


@dataclass(frozen=True, slots=True)
class Requests:
    """Production's answered calls of one step of a prompt version that finished in [since, until)."""

    task: str
    prompt_version_id: str
    step: str
    since: datetime
    until: datetime


def count_requests(session: Session, requests: Requests) -> int:
    """How many they are."""
    return session.scalars(select(func.count()).select_from(CallRow).where(*_are(requests))).one()


def spread_tokens(session: Session, requests: Requests, most: int, of: int) -> list[int]:
    """Input tokens of `most` of the `of` requests that were counted, in even steps over all; of all if they are fewer.

    No order is promised.
    """
    place = func.row_number().over(order_by=CallRow.finished_at) - 1
    found = select(CallRow.input_tokens.label("tokens"), place.label("place")).where(*_are(requests)).subquery()
    return list(session.scalars(select(found.c.tokens).where(found.c.place * most % of < most)))


def _are(requests: Requests) -> tuple[ColumnElement[bool] | TextClause, ...]:
    return (
        CallRow.task == requests.task,
        CallRow.prompt_version_id == requests.prompt_version_id,
        CallRow.finished_at >= requests.since,
        CallRow.finished_at < requests.until,
        text(CALLS_OF_PRODUCTION),  # as it is: with bound values SQLite does not find the index
        (CallRow.step == requests.step) | CallRow.step.is_(None),
    )
