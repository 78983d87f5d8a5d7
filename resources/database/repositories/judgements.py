"""What judges said: looked up before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import JudgementRow

SUBJECTS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class JudgementRecord:
    """One judgement, exactly as the judge gave it.

    Attributes:
        judge_id: SHA-256 of the judge's prompt, model and parameters.
        subject_id: SHA-256 of all that the judge was shown of the row.
        sample: which of several independent judgements of the same it is; 0 is the first.
        prompt_version_id: whose answer was judged when it was paid for; None for one that a dataset holds.
    """

    judge_id: str
    subject_id: str
    sample: int
    task: str
    prompt_version_id: str | None
    input_id: str
    text: str
    call_id: str
    model: str
    cost_nano_usd: int
    latency_s: float
    input_tokens: int
    output_tokens: int
    created_at: datetime


def get_many(
    session: Session, judge_id: str, subject_ids: Iterable[str], samples: int
) -> dict[tuple[str, int], JudgementRecord]:
    """The first `samples` stored judgements by (subject id, sample); those that were not made are absent."""
    found: dict[tuple[str, int], JudgementRecord] = {}
    query = select_record(JudgementRow, JudgementRecord).where(
        JudgementRow.judge_id == judge_id, JudgementRow.sample < samples
    )
    wanted = sorted(set(subject_ids))
    for start in range(0, len(wanted), SUBJECTS_PER_QUERY):
        chunk = wanted[start : start + SUBJECTS_PER_QUERY]
        for row in session.execute(query.where(JudgementRow.subject_id.in_(chunk))):
            judgement = read(JudgementRecord, row)
            found[judgement.subject_id, judgement.sample] = judgement
    return found


def put_many(session: Session, judgements: Sequence[JudgementRecord]) -> int:
    """Store judgements; one that is there already stays as it is. How many were new."""
    return insert_ignore(session, JudgementRow, [as_row(judgement) for judgement in judgements])
