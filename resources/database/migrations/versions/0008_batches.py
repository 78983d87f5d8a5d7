"""Batches, their chunks, answers and files; a batch's calls are found by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)
TABLES = ("batch_files", "batch_answers", "batch_chunks", "batches")


def upgrade() -> None:
    """Create the tables, find a batch's calls by its rows."""
    _batches()
    _chunks()
    op.create_table(
        "batch_answers",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "row", name="pk_batch_answers"),
    )
    op.create_table(
        "batch_files",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("stamp", sa.String(length=200), nullable=False),
        sa.Column("batch_id", sa.String(length=64), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("seen_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("task", "name", name="pk_batch_files"),
    )
    _index("ix_calls_batch_id_row_id", "calls", ["batch_id", "row_id"], "batch_id IS NOT NULL")


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_calls_batch_id_row_id", "calls")
    for table in TABLES:
        op.drop_table(table)


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("pause_kind", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("resume_at", TIMESTAMP, nullable=True),
        sa.Column("request", sa.String(length=10), nullable=True),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("rows_id", sa.String(length=64), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.String(length=64), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("claim", sa.Integer(), nullable=False),
        sa.Column("claimed_at", TIMESTAMP, nullable=True),
        sa.Column("lease_until", TIMESTAMP, nullable=True),
        sa.Column("active_s", sa.Float(), nullable=False),
        sa.Column("repeats", sa.JSON(), nullable=False),
        sa.Column("summary", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=True),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'waiting', 'paused', 'done', 'cancelled')", name=op.f("ck_batches_state")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_index("ix_batches_task_created_at", "batches", ["task", "created_at"])
    _index("ix_batches_open", "batches", ["task", "created_at"], "state NOT IN ('done', 'cancelled')")
    _index("ix_batches_worker", "batches", ["worker"], "worker IS NOT NULL")


def _chunks() -> None:
    counts = ("ok", "fallback", "invalid", "failed", "rejected")
    sums = ("cost_nano_usd", "input_tokens", "output_tokens")
    op.create_table(
        "batch_chunks",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("first_row", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("interrupted", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counts),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
        sa.CheckConstraint("state IN ('open', 'submitted', 'done')", name=op.f("ck_batch_chunks_state")),
        sa.PrimaryKeyConstraint("batch_id", "chunk", name="pk_batch_chunks"),
    )


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
