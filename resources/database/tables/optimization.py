"""Optimization runs, their journal, answers, evaluations and gate decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, ExactText, UtcDateTime


class OptimizationRunRow(Base):
    """One optimizer, seed and budget applied to (prompt version, dataset version); id hashes exactly that."""

    __tablename__ = "optimization_runs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    task: Mapped[str] = mapped_column(String(200))
    prompt_version_id: Mapped[str] = mapped_column(String(64))
    dataset_version_id: Mapped[str] = mapped_column(String(64))
    optimizer: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(20))
    stop_reason: Mapped[str | None] = mapped_column(Text)
    result_prompt_version_id: Mapped[str | None] = mapped_column(String(64))
    reference_prompt_version_ids: Mapped[list[str]] = mapped_column(JSON)
    dev_score: Mapped[float | None] = mapped_column(Float)
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_optimization_runs_task_started_at", "task", "started_at"),
        Index("ix_optimization_runs_task_result_prompt_version_id", "task", "result_prompt_version_id"),
    )


class JournalEntryRow(Base):
    """One LM answer of an optimization run, kept so that a resumed run gets it again for nothing."""

    __tablename__ = "optimization_journal"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AnswerRow(Base):
    """What a prompt version answered to one input; evaluations look here before they pay."""

    __tablename__ = "answers"

    prompt_version_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    input_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sample: Mapped[int] = mapped_column(Integer, primary_key=True)
    text: Mapped[str] = mapped_column(ExactText)
    call_id: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(Text)
    cost_nano_usd: Mapped[int] = mapped_column(BigInteger)
    latency_s: Mapped[float] = mapped_column(Float)
    input_tokens: Mapped[int] = mapped_column(Integer)
    output_tokens: Mapped[int] = mapped_column(Integer)
    call_ids: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    broken_step: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EvaluationRow(Base):
    """One prompt version x one dataset split x evaluators; per-example results are Parquet."""

    __tablename__ = "evaluations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    task: Mapped[str] = mapped_column(String(200))
    prompt_version_id: Mapped[str] = mapped_column(String(64))
    dataset_version_id: Mapped[str] = mapped_column(String(64))
    split: Mapped[str] = mapped_column(String(10))
    metric: Mapped[str] = mapped_column(String(100))
    rows: Mapped[int] = mapped_column(Integer)
    score: Mapped[float] = mapped_column(Float)
    score_low: Mapped[float] = mapped_column(Float)
    score_high: Mapped[float] = mapped_column(Float)
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)
    storage_path: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_evaluations_task_created_at", "task", "created_at"),
        Index("ix_evaluations_prompt_version_id", "prompt_version_id"),
    )


class GateDecisionRow(Base):
    """A recorded decision of the gate; `promotion` re-reads it and nothing else moves an alias."""

    __tablename__ = "gate_decisions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    task: Mapped[str] = mapped_column(String(200))
    candidate_id: Mapped[str] = mapped_column(String(64))
    production_id: Mapped[str] = mapped_column(String(64))
    dataset_version_id: Mapped[str] = mapped_column(String(64))
    candidate_evaluation_id: Mapped[str | None] = mapped_column(String(64))
    production_evaluation_id: Mapped[str | None] = mapped_column(String(64))
    look: Mapped[int] = mapped_column(Integer)
    verdict: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    comparison: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(20), server_default="evaluation")  # evaluation | experiment
    experiment: Mapped[str | None] = mapped_column(String(100))

    __table_args__ = (
        Index("ix_gate_decisions_task_created_at", "task", "created_at"),
        # Two gates that run at once must not spend the same share of alpha twice.
        Index(
            "uq_gate_decisions_task_look",
            "task",
            "look",
            unique=True,
            sqlite_where=text("look > 0"),
            postgresql_where=text("look > 0"),
        ),
    )
