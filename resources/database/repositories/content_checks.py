"""Looks at what production prompts are asked and what they answer: figures, never a text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import ContentCheckRow

ContentKind = Literal["words", "answers"]


@dataclass(frozen=True, slots=True)
class ContentCheck:
    """One look; the next one begins at `until`.

    Attributes:
        look: from 1; of `answers` look 0 is the reference and has nothing to be compared with.
        dataset_version_id: of `words`: what they were compared with.
        counts: of `answers`: how often each label was given.
    """

    task: str
    prompt_version_id: str
    kind: str
    look: int
    dataset_version_id: str | None
    rows: int
    distance: float
    p_value: float
    alpha: float
    drifted: bool
    counts: dict[str, int] | None
    until: datetime


def save(session: Session, check: ContentCheck) -> None:
    """Store a look; one that is there already is left alone."""
    insert_ignore(session, ContentCheckRow, [as_row(check)])


def first_and_latest(
    session: Session, task: str, prompt_version_id: str, kind: ContentKind
) -> tuple[ContentCheck | None, ContentCheck | None]:
    """The first look of a kind at a prompt version, and the newest."""
    query = select_record(ContentCheckRow, ContentCheck).where(
        ContentCheckRow.task == task,
        ContentCheckRow.prompt_version_id == prompt_version_id,
        ContentCheckRow.kind == kind,
    )
    found = [
        session.execute(query.order_by(order).limit(1)).one_or_none()
        for order in (ContentCheckRow.look, ContentCheckRow.look.desc())
    ]
    first, latest = (None if row is None else read(ContentCheck, row) for row in found)
    return first, latest
