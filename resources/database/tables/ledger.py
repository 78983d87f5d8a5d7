"""The ledger: calls, their attempts with their money, and the budget scopes.

Names that come from outside (models may be file paths, units are whatever a caller hashes) are unbounded text: a paid
call must not be lost because a name was long.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, CheckConstraint, Float, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, UtcDateTime

# An index costs every call, so each holds only what is looked for. Requests of experiments have random ids, whose
# places in an index cost more than all the rest of a call's line; they are found by their experiment, and rows of
# batches by their batch.
CALLS_OF_ROWS = "row_id IS NOT NULL AND batch_id IS NULL AND experiment_id IS NULL"
# What drift reads of a prompt, however long ago its last look was: without this it walks the calls of all tasks since
# then, for each task that is too quiet for a look. Calls that Promptory makes for itself say nothing about production.
CALLS_OF_PRODUCTION = (
    "prompt_version_id IS NOT NULL AND status = 'ok' "
    "AND purpose NOT IN ('optimize', 'evaluate', 'judge', 'check', 'load')"
)


def _index_where(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class CallRow(Base):
    """One request through the execution core, cached and fallen-back ones included."""

    __tablename__ = "calls"

    call_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    origin_call_id: Mapped[str | None] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(50))
    task: Mapped[str | None] = mapped_column(String(200))
    prompt_version_id: Mapped[str | None] = mapped_column(String(64))
    step: Mapped[str | None] = mapped_column(Text)
    dataset_version_id: Mapped[str | None] = mapped_column(String(64))
    row_id: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[str | None] = mapped_column(Text)
    batch_id: Mapped[str | None] = mapped_column(Text)
    experiment_id: Mapped[str | None] = mapped_column(Text)
    unit_id: Mapped[str | None] = mapped_column(Text)
    requested_model: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(50))
    cached: Mapped[bool] = mapped_column(Boolean)
    attempts: Mapped[int] = mapped_column(Integer)
    input_tokens: Mapped[int] = mapped_column(Integer)
    output_tokens: Mapped[int] = mapped_column(Integer)
    cost_nano_usd: Mapped[int] = mapped_column(BigInteger)
    latency_s: Mapped[float] = mapped_column(Float)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_calls_finished_at_call_id", "finished_at", "call_id"),
        _index_where("ix_calls_task_row_id", "task", "row_id", where=CALLS_OF_ROWS),
        _index_where("ix_calls_run_id", "run_id", where="run_id IS NOT NULL"),
        _index_where("ix_calls_experiment_id", "experiment_id", where="experiment_id IS NOT NULL"),
        _index_where("ix_calls_batch_id_row_id", "batch_id", "row_id", where="batch_id IS NOT NULL"),
        _index_where("ix_calls_of_production", "prompt_version_id", "finished_at", where=CALLS_OF_PRODUCTION),
    )


class AttemptRow(Base):
    """One attempt and its own money. `charge` says how certain the amount is."""

    __tablename__ = "attempts"

    attempt_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    call_id: Mapped[str] = mapped_column(String(64), index=True)
    number: Mapped[int] = mapped_column(Integer)
    model: Mapped[str] = mapped_column(Text)
    charge: Mapped[str] = mapped_column(String(20))  # settled | ambiguous | overrun | free
    outcome: Mapped[str] = mapped_column(String(30))  # ok, or a FaultClass, or cancelled | lost
    reserved_nano_usd: Mapped[int] = mapped_column(BigInteger)
    reserved_input_tokens: Mapped[int | None] = mapped_column(Integer)  # None before schema 0002
    reserved_output_tokens: Mapped[int | None] = mapped_column(Integer)
    cost_nano_usd: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(Integer)
    output_tokens: Mapped[int] = mapped_column(Integer)
    cached_input_tokens: Mapped[int] = mapped_column(Integer)
    price: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    provider_request_id: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime)
    latency_s: Mapped[float] = mapped_column(Float)

    __table_args__ = (
        CheckConstraint("charge IN ('settled', 'ambiguous', 'overrun', 'free')", name="charge"),
        CheckConstraint("cost_nano_usd >= 0 AND reserved_nano_usd >= 0", name="money"),
        CheckConstraint("charge <> 'free' OR cost_nano_usd = 0", name="free"),
        Index("ix_attempts_finished_at_attempt_id", "finished_at", "attempt_id"),
        _index_where("ix_attempts_ambiguous", "finished_at", where="charge = 'ambiguous'"),
    )


class BudgetScopeRow(Base):
    """The cap of one scope, as last set, and why it is frozen where it is."""

    __tablename__ = "budget_scopes"

    scope: Mapped[str] = mapped_column(String(300), primary_key=True)
    cap_nano_usd: Mapped[int] = mapped_column(BigInteger)
    frozen_reason: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (CheckConstraint("cap_nano_usd >= 0", name="cap"),)
