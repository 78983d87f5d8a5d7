"""Live experiments: started ones, interactions, outcomes; decisions say what kind they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, mark the decisions there are, find an experiment's calls by an index."""
    _experiments()
    _interactions()
    _outcomes()
    op.add_column(
        "gate_decisions", sa.Column("kind", sa.String(length=20), nullable=False, server_default="evaluation")
    )
    op.add_column("gate_decisions", sa.Column("experiment", sa.String(length=100), nullable=True))
    op.create_index(
        "ix_calls_experiment_id",
        "calls",
        ["experiment_id"],
        sqlite_where=sa.text("experiment_id IS NOT NULL"),
        postgresql_where=sa.text("experiment_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_calls_experiment_id", "calls")
    op.drop_column("gate_decisions", "experiment")
    op.drop_column("gate_decisions", "kind")
    for table in ("outcomes", "interactions", "experiments"):
        op.drop_table(table)


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("spec_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("prompt_version_ids", sa.JSON(), nullable=False),
        sa.Column("epochs", sa.JSON(), nullable=False),
        sa.Column("started_by", sa.String(length=200), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("stopped_at", TIMESTAMP, nullable=True),
        sa.Column("stopped_by", sa.String(length=200), nullable=True),
        sa.Column("stop_kind", sa.String(length=20), nullable=True),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("decision_id", sa.String(length=64), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('running', 'stopped')", name=op.f("ck_experiments_state")),
        sa.CheckConstraint("(state = 'stopped') = (stopped_at IS NOT NULL)", name=op.f("ck_experiments_stopped")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_experiments")),
    )
    op.create_index("ix_experiments_task", "experiments", ["task"])


def _interactions() -> None:
    op.create_table(
        "interactions",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("variant", sa.String(length=100), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=200), nullable=True),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("latency_s", sa.Float(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.CheckConstraint("cost_nano_usd >= 0 AND latency_s >= 0", name=op.f("ck_interactions_amounts")),
        sa.PrimaryKeyConstraint("experiment", "id", name=op.f("pk_interactions")),
    )
    op.create_index("ix_interactions_experiment_at_id", "interactions", ["experiment", "at", "id"])
    op.create_index("ix_interactions_experiment_unit_id", "interactions", ["experiment", "unit_id"])
    op.create_index("ix_interactions_experiment_call_id", "interactions", ["experiment", "call_id"])


def _outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=205), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("call_id", sa.String(length=200), nullable=True),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.CheckConstraint("value >= 0 AND value <= 1", name=op.f("ck_outcomes_value")),
        sa.PrimaryKeyConstraint("experiment", "key", name=op.f("pk_outcomes")),
    )
    op.create_index("ix_outcomes_experiment_unit_id", "outcomes", ["experiment", "unit_id"])
