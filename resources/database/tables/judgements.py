"""What judges said of answers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Float, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, ExactText, UtcDateTime


class JudgementRow(Base):
    """One judgement of one answer (or pair of answers) by one judge; evaluations look here before they pay.

    `subject_id` hashes all that the judge was shown of the row: the same answer of two prompt versions is judged once.
    """

    __tablename__ = "judgements"

    judge_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sample: Mapped[int] = mapped_column(Integer, primary_key=True)
    task: Mapped[str] = mapped_column(String(200))
    prompt_version_id: Mapped[str | None] = mapped_column(String(64))
    input_id: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(ExactText)
    call_id: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(Text)
    cost_nano_usd: Mapped[int] = mapped_column(BigInteger)
    latency_s: Mapped[float] = mapped_column(Float)
    input_tokens: Mapped[int] = mapped_column(Integer)
    output_tokens: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
