"""What prompt versions answered to inputs: looked up before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import AnswerRow

INPUTS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One answer of the last step, exactly as the model gave it.

    Attributes:
        input_id: SHA-256 of the row's inputs as they were sent.
        sample: which draw it is; 0 is the first.
        call_id: the call that paid for it.
        cost_nano_usd: of all the steps' calls.
        call_ids: the steps' calls in their order; None for answers kept before this was recorded.
        broken_step: the step whose answer broke its contract and ended the row early.
    """

    prompt_version_id: str
    input_id: str
    sample: int
    text: str
    call_id: str
    model: str
    cost_nano_usd: int
    latency_s: float
    input_tokens: int
    output_tokens: int
    call_ids: list[str] | None
    broken_step: str | None
    created_at: datetime


def get_many(
    session: Session, prompt_version_id: str, input_ids: Iterable[str], *, sample: int = 0
) -> dict[str, AnswerRecord]:
    """The stored answers by input id; inputs without one are absent."""
    found: dict[str, AnswerRecord] = {}
    query = select_record(AnswerRow, AnswerRecord).where(
        AnswerRow.prompt_version_id == prompt_version_id, AnswerRow.sample == sample
    )
    for chunk in _chunks(sorted(set(input_ids))):
        for row in session.execute(query.where(AnswerRow.input_id.in_(chunk))):
            answer = read(AnswerRecord, row)
            found[answer.input_id] = answer
    return found


def count(session: Session, prompt_version_id: str, *, sample: int = 0) -> int:
    """How many inputs the prompt version has answered."""
    counted = select(func.count()).select_from(AnswerRow)
    of_version = (AnswerRow.prompt_version_id == prompt_version_id, AnswerRow.sample == sample)
    return session.scalar(counted.where(*of_version)) or 0


def put_many(session: Session, answers: Sequence[AnswerRecord]) -> int:
    """Store answers; one that is there already stays as it is. How many were new."""
    return insert_ignore(session, AnswerRow, [as_row(answer) for answer in answers])


def _chunks(input_ids: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(input_ids), INPUTS_PER_QUERY):
        yield input_ids[start : start + INPUTS_PER_QUERY]
