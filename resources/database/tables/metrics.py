"""What the metrics know of the ledger: days that changed, days that were copied, spend of rows no longer kept here.
Beside them, what was told to people, and how production fares.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Date, Float, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, UtcDateTime


class LedgerMarkRow(Base):
    """A UTC day of the ledger that `writer` changed since the day was last copied.

    One row per writer, so that writers never wait for each other; it is taken away only if its `revision` is still the
    one that was seen before the day was copied.
    """

    __tablename__ = "ledger_marks"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    writer: Mapped[str] = mapped_column(String(32), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)


class ExportedDayRow(Base):
    """A UTC day of the ledger that was copied to Parquet, and what its files hold."""

    __tablename__ = "exported_days"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    content_id: Mapped[str] = mapped_column(String(64))
    calls: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(BigInteger)
    cost_nano_usd: Mapped[int] = mapped_column(BigInteger)
    ambiguous_nano_usd: Mapped[int] = mapped_column(BigInteger)
    exported_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # its rows are in the files only


class RemovedSpendRow(Base):
    """What the attempts that were removed from the ledger had charged to a scope that never closes."""

    __tablename__ = "removed_spend"

    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    spent_nano_usd: Mapped[int] = mapped_column(BigInteger)
    ambiguous_nano_usd: Mapped[int] = mapped_column(BigInteger)


class AlertRow(Base):
    """One thing a hook is told once: claimed in the transaction that also writes down the message about it."""

    __tablename__ = "alerts"

    key: Mapped[str] = mapped_column(String(400), primary_key=True)
    kind: Mapped[str] = mapped_column(String(30))
    claimed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    problem: Mapped[str | None] = mapped_column(Text)


class AlertDeliveryRow(Base):
    """One message on its way to one hook: kept until it was taken or given up. `id` is its idempotency key."""

    __tablename__ = "alert_deliveries"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sink: Mapped[str] = mapped_column(String(30))
    kind: Mapped[str] = mapped_column(String(30))
    keys: Mapped[list[str]] = mapped_column(JSON)
    message: Mapped[dict[str, Any]] = mapped_column(JSON)
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_try_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # None once it was taken or given up
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    problem: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index(
            "ix_alert_deliveries_open",
            "next_try_at",
            sqlite_where=text("next_try_at IS NOT NULL"),
            postgresql_where=text("next_try_at IS NOT NULL"),
        ),
    )


class ProductionCheckRow(Base):
    """One fresh evaluation of a task's production prompt on `dev`, against the reference on the same rows."""

    __tablename__ = "production_checks"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    task: Mapped[str] = mapped_column(String(200), index=True)
    prompt_version_id: Mapped[str] = mapped_column(String(64))
    dataset_version_id: Mapped[str] = mapped_column(String(64))
    sample: Mapped[int] = mapped_column(Integer)
    look: Mapped[int] = mapped_column(Integer)
    rows: Mapped[int] = mapped_column(Integer)
    score: Mapped[float] = mapped_column(Float)
    score_low: Mapped[float] = mapped_column(Float)
    score_high: Mapped[float] = mapped_column(Float)
    reference_score: Mapped[float] = mapped_column(Float)
    difference: Mapped[float] = mapped_column(Float)
    p_value: Mapped[float] = mapped_column(Float)
    alpha: Mapped[float] = mapped_column(Float)
    checked_at: Mapped[datetime] = mapped_column(UtcDateTime)


class InputCheckRow(Base):
    """One look at the inputs of a production prompt. Look 0 keeps the sample that later ones are compared with."""

    __tablename__ = "input_checks"

    task: Mapped[str] = mapped_column(String(200), primary_key=True)
    prompt_version_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    look: Mapped[int] = mapped_column(Integer, primary_key=True)
    rows: Mapped[int] = mapped_column(Integer)
    mean_tokens: Mapped[float] = mapped_column(Float)
    distance: Mapped[float] = mapped_column(Float)
    p_value: Mapped[float] = mapped_column(Float)
    alpha: Mapped[float] = mapped_column(Float)
    drifted: Mapped[bool] = mapped_column(Boolean)
    sample: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class ContentCheckRow(Base):
    """One look at what production is asked (`words`) or answers (`answers`): figures only, never a text.

    `counts`, of a look at answers, are by label as the prompt's contract declares it.
    """

    __tablename__ = "content_checks"

    task: Mapped[str] = mapped_column(String(200), primary_key=True)
    prompt_version_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    look: Mapped[int] = mapped_column(Integer, primary_key=True)
    dataset_version_id: Mapped[str | None] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer)
    distance: Mapped[float] = mapped_column(Float)
    p_value: Mapped[float] = mapped_column(Float)
    alpha: Mapped[float] = mapped_column(Float)
    drifted: Mapped[bool] = mapped_column(Boolean)
    counts: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True))
    until: Mapped[datetime] = mapped_column(UtcDateTime)
