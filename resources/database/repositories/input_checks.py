"""Looks at the inputs that production prompts get, by their length; the inputs themselves are kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import CallRow, InputCheckRow

INTERNAL_PURPOSES = ("optimize", "evaluate", "judge", "check", "load")
"""Calls that Promptory makes for itself: what they ask says nothing about production."""


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


def input_tokens(
    session: Session, task: str, prompt_version_id: str, step: str, since: datetime, until: datetime, most: int
) -> list[int]:
    """Input tokens of production's answered calls that finished in [since, until), oldest first, at most `most`."""
    query = (
        select(CallRow.input_tokens)
        .where(
            CallRow.task == task,
            CallRow.finished_at >= since,
            CallRow.finished_at < until,
            CallRow.prompt_version_id == prompt_version_id,
            CallRow.status == "ok",
            CallRow.purpose.not_in(INTERNAL_PURPOSES),
            (CallRow.step == step) | CallRow.step.is_(None),
        )
        .order_by(CallRow.finished_at)
        .limit(most)
    )
    return list(session.scalars(query))
