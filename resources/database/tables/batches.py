"""Batches, their chunks, the answers of chunks that are not finished yet, and the files that were taken in.

A finished chunk's rows live in Parquet and nowhere here: a million rows are a thousand lines of `batch_chunks`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Float, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, UtcDateTime


class BatchRow(Base):
    """One batch: rows of a source, to be answered by one prompt version of the task."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    task: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(20))
    pause_kind: Mapped[str | None] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    resume_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    request: Mapped[str | None] = mapped_column(String(10))  # pause | cancel: what a person asks of the worker
    source: Mapped[dict[str, Any]] = mapped_column(JSON)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    rows_id: Mapped[str] = mapped_column(String(64))
    edition: Mapped[int] = mapped_column(Integer)
    parent_id: Mapped[str | None] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(BigInteger)
    rejected: Mapped[int] = mapped_column(BigInteger)
    chunks: Mapped[int] = mapped_column(Integer)
    prompt_version_id: Mapped[str | None] = mapped_column(String(64))  # None until it is started
    worker: Mapped[str | None] = mapped_column(Text)
    claim: Mapped[int] = mapped_column(Integer)  # grows with every take-over; what a worker writes must name it
    claimed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    active_s: Mapped[float] = mapped_column(Float)
    repeats: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        CheckConstraint("state IN ('pending', 'running', 'waiting', 'paused', 'done', 'cancelled')", name="state"),
        Index("ix_batches_task_created_at", "task", "created_at"),
        Index("ix_batches_task_finished_at", "task", "finished_at"),
        Index(
            "ix_batches_open",
            "task",
            "created_at",
            sqlite_where=text("state NOT IN ('done', 'cancelled')"),
            postgresql_where=text("state NOT IN ('done', 'cancelled')"),
        ),
        Index(
            "ix_batches_worker",
            "worker",
            sqlite_where=text("worker IS NOT NULL"),
            postgresql_where=text("worker IS NOT NULL"),
        ),
    )


class BatchChunkRow(Base):
    """Consecutive rows of a batch. `round` counts the askings that are finished; `path` is the part they stand in."""

    __tablename__ = "batch_chunks"

    batch_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    chunk: Mapped[int] = mapped_column(Integer, primary_key=True)
    first_row: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20))
    round: Mapped[int] = mapped_column(Integer)
    interrupted: Mapped[int] = mapped_column(Integer)  # workers that left while they may have had rows of it under way
    path: Mapped[str | None] = mapped_column(Text)
    ok: Mapped[int] = mapped_column(Integer)
    fallback: Mapped[int] = mapped_column(Integer)
    invalid: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    rejected: Mapped[int] = mapped_column(Integer)
    cost_nano_usd: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("state IN ('open', 'submitted', 'done')", name="state"),)


class BatchAnswerRow(Base):
    """What a row of an unfinished chunk was answered: durable before the row counts as asked."""

    __tablename__ = "batch_answers"

    batch_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    row: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    outcome: Mapped[bytes] = mapped_column(LargeBinary)


class BatchFileRow(Base):
    """A file of a task's batch folder that was looked at; `stamp` is its size and date, or the store's own tag."""

    __tablename__ = "batch_files"

    task: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str] = mapped_column(String(500), primary_key=True)
    stamp: Mapped[str] = mapped_column(String(200))
    batch_id: Mapped[str | None] = mapped_column(String(64))
    problem: Mapped[str | None] = mapped_column(Text)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
