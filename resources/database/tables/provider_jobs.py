"""Jobs at providers' batch APIs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, CheckConstraint, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, UtcDateTime


class ProviderJobRow(Base):
    """Rows of one chunk, handed to a provider in one piece. Its id tags the job there: so it is found again."""

    __tablename__ = "provider_jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    batch_id: Mapped[str] = mapped_column(String(64))
    task: Mapped[str] = mapped_column(String(200))
    chunk: Mapped[int] = mapped_column(Integer)
    round: Mapped[int] = mapped_column(Integer)
    model: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20))
    file: Mapped[str | None] = mapped_column(Text)  # the uploaded requests, by the provider's name
    provider_id: Mapped[str | None] = mapped_column(Text)
    provider_state: Mapped[str | None] = mapped_column(Text)  # in the provider's own words
    counts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    problem: Mapped[str | None] = mapped_column(Text)
    rows: Mapped[int] = mapped_column(Integer)
    requests: Mapped[bytes] = mapped_column(LargeBinary)  # which rows, and what each may cost at worst
    scopes: Mapped[list[str]] = mapped_column(JSON)
    price: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reserve_nano_usd: Mapped[int] = mapped_column(BigInteger)
    direct_nano_usd: Mapped[int] = mapped_column(BigInteger)  # the same worst case, asked row by row
    cost_nano_usd: Mapped[int | None] = mapped_column(BigInteger)  # None until it is settled
    lost_nano_usd: Mapped[int | None] = mapped_column(BigInteger)  # kept for requests whose bill is unknown
    overrun: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when the provider was last asked

    __table_args__ = (
        CheckConstraint(
            "state IN ('planned', 'held', 'creating', 'submitted', 'ended', 'settled', 'quarantined', 'closed')",
            name="state",
        ),
        Index("ix_provider_jobs_batch_id_chunk", "batch_id", "chunk"),
        Index(
            "ix_provider_jobs_open",
            "state",
            "task",
            sqlite_where=text("state <> 'closed'"),
            postgresql_where=text("state <> 'closed'"),
        ),
    )
