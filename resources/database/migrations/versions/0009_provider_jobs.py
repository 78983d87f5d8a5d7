"""Jobs at providers' batch APIs: what each holds of the budgets, and how far it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "provider_jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("provider_state", sa.Text(), nullable=True),
        sa.Column("counts", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("requests", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("price", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reserve_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("direct_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("lost_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("overrun", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("changed_at", TIMESTAMP, nullable=False),
        sa.Column("seen_at", TIMESTAMP, nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'held', 'creating', 'submitted', 'ended', 'settled', 'quarantined', 'closed')",
            name=op.f("ck_provider_jobs_state"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_provider_jobs"),
    )
    op.create_index("ix_provider_jobs_batch_id_chunk", "provider_jobs", ["batch_id", "chunk"])
    op.create_index(
        "ix_provider_jobs_open",
        "provider_jobs",
        ["state", "task"],
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("provider_jobs")
