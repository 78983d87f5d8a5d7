"""Live experiments: what was started, who was answered with what, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, ExactText, UtcDateTime


class ExperimentRow(Base):
    """A started experiment: its design, prompt versions and buckets are fixed here, whatever its file says."""

    __tablename__ = "experiments"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    task: Mapped[str] = mapped_column(String(200))
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    spec_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    prompt_version_ids: Mapped[dict[str, str]] = mapped_column(JSON)
    epochs: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    started_by: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stopped_by: Mapped[str | None] = mapped_column(String(200))
    stop_kind: Mapped[str | None] = mapped_column(String(20))
    stop_reason: Mapped[str | None] = mapped_column(ExactText)
    decision_id: Mapped[str | None] = mapped_column(String(64))
    revision: Mapped[int] = mapped_column(Integer)

    __table_args__ = (
        CheckConstraint("state IN ('running', 'stopped')", name="state"),
        CheckConstraint("(state = 'stopped') = (stopped_at IS NOT NULL)", name="stopped"),
        Index("ix_experiments_task", "task"),
    )


class InteractionRow(Base):
    """One answer a unit of an experiment got: which variant gave it, what it cost, how long it took."""

    __tablename__ = "interactions"

    experiment: Mapped[str] = mapped_column(String(100), primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    unit_id: Mapped[str] = mapped_column(String(200))
    variant: Mapped[str] = mapped_column(String(100))
    prompt_version_id: Mapped[str] = mapped_column(String(64))
    call_id: Mapped[str | None] = mapped_column(String(200))
    cost_nano_usd: Mapped[int | None] = mapped_column(BigInteger)
    latency_s: Mapped[float | None] = mapped_column(Float)
    answer: Mapped[str | None] = mapped_column(ExactText)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    source: Mapped[str] = mapped_column(String(10))  # live | import | ledger

    __table_args__ = (
        CheckConstraint("cost_nano_usd >= 0 AND latency_s >= 0", name="amounts"),
        Index("ix_interactions_experiment_at_id", "experiment", "at", "id"),
        Index("ix_interactions_experiment_unit_id", "experiment", "unit_id"),
        Index("ix_interactions_experiment_call_id", "experiment", "call_id"),
    )


class OutcomeRow(Base):
    """What came of a unit, or of one of its answers. `key` is `unit:<id>` or `call:<id>`: the first one stands."""

    __tablename__ = "outcomes"

    experiment: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[str] = mapped_column(String(205), primary_key=True)
    unit_id: Mapped[str] = mapped_column(String(200))
    call_id: Mapped[str | None] = mapped_column(String(200))
    value: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    source: Mapped[str] = mapped_column(String(10))  # live | import

    __table_args__ = (
        CheckConstraint("value >= 0 AND value <= 1", name="value"),
        Index("ix_outcomes_experiment_unit_id", "experiment", "unit_id"),
    )
