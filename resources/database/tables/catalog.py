"""Tasks, dataset versions, prompt versions, aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKeyConstraint, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables.base import Base, UtcDateTime


class TaskRow(Base):
    """A task as last read from its file."""

    __tablename__ = "tasks"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    spec_id: Mapped[str] = mapped_column(String(64))
    source_path: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DatasetVersionRow(Base):
    """An immutable snapshot of a task's rows; the rows are Parquet at `storage_path`."""

    __tablename__ = "dataset_versions"

    task: Mapped[str] = mapped_column(String(200), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    storage_path: Mapped[str] = mapped_column(Text)
    rows: Mapped[int] = mapped_column(Integer)
    split_rows: Mapped[dict[str, int]] = mapped_column(JSON)
    quarantined: Mapped[int] = mapped_column(Integer, default=0)
    sources: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        UniqueConstraint("task", "version"),
        CheckConstraint("version >= 1", name="version"),
        Index("ix_dataset_versions_id", "id"),
    )


class PromptVersionRow(Base):
    """An immutable prompt version; `content` is exactly what its id hashes."""

    __tablename__ = "prompt_versions"

    task: Mapped[str] = mapped_column(String(200), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(200))
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    parent_id: Mapped[str | None] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        UniqueConstraint("task", "version"),
        CheckConstraint("version >= 1", name="version"),
        Index("ix_prompt_versions_id", "id"),
    )


class AliasRow(Base):
    """Where an alias points now; `revision` is what compare-and-swap compares."""

    __tablename__ = "aliases"

    task: Mapped[str] = mapped_column(String(200), primary_key=True)
    alias: Mapped[str] = mapped_column(String(50), primary_key=True)
    prompt_version_id: Mapped[str] = mapped_column(String(64))
    revision: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        ForeignKeyConstraint(["task", "prompt_version_id"], ["prompt_versions.task", "prompt_versions.id"]),
        CheckConstraint("revision >= 1", name="revision"),
    )


class AliasMoveRow(Base):
    """Every move an alias ever made, with who and why; a `release` moves nothing, it ends a person's hold."""

    __tablename__ = "alias_moves"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    task: Mapped[str] = mapped_column(String(200))
    alias: Mapped[str] = mapped_column(String(50))
    from_id: Mapped[str | None] = mapped_column(String(64))
    to_id: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(20))
    moved_by: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    decision_id: Mapped[str | None] = mapped_column(String(64))
    moved_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        ForeignKeyConstraint(["task", "to_id"], ["prompt_versions.task", "prompt_versions.id"]),
        CheckConstraint("kind IN ('first', 'gate', 'hand', 'override', 'rollback', 'release')", name="kind"),
        Index("ix_alias_moves_task_alias", "task", "alias"),
    )
