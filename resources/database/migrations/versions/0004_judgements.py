"""Judgements; the calls of all steps of an answer, and the step that ended it early."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, add the columns."""
    op.create_table(
        "judgements",
        sa.Column("judge_id", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=True),
        sa.Column("input_id", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("latency_s", sa.Float(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("judge_id", "subject_id", "sample", name="pk_judgements"),
    )
    op.add_column("answers", sa.Column("call_ids", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("answers", sa.Column("broken_step", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("answers", "broken_step")
    op.drop_column("answers", "call_ids")
    op.drop_table("judgements")
