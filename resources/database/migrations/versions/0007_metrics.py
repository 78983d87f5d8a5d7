"""Days of the ledger that changed or were copied, removed spend, alerts, checks of production."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from alembic import op

from resources.database.tables.base import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables; every day the ledger has is marked, so that the next collection copies it."""
    _days()
    op.create_table(
        "removed_spend",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("spent_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("ambiguous_nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_removed_spend"),
    )
    op.create_table(
        "alerts",
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("claimed_at", TIMESTAMP, nullable=False),
        sa.Column("delivered_at", TIMESTAMP, nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_alerts"),
    )
    _production_checks()
    _input_checks()
    _mark_every_day()


def downgrade() -> None:
    """Drop them."""
    for table in ("input_checks", "production_checks", "alerts", "removed_spend", "exported_days", "ledger_marks"):
        op.drop_table(table)


def _days() -> None:
    op.create_table(
        "ledger_marks",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("writer", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "writer", name="pk_ledger_marks"),
    )
    op.create_table(
        "exported_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("content_id", sa.String(length=64), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("ambiguous_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("exported_at", TIMESTAMP, nullable=False),
        sa.Column("removed_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("day", name="pk_exported_days"),
    )


def _production_checks() -> None:
    op.create_table(
        "production_checks",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_version_id", sa.String(length=64), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("score_low", sa.Float(), nullable=False),
        sa.Column("score_high", sa.Float(), nullable=False),
        sa.Column("reference_score", sa.Float(), nullable=False),
        sa.Column("difference", sa.Float(), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=False),
        sa.Column("alpha", sa.Float(), nullable=False),
        sa.Column("checked_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_production_checks"),
    )
    op.create_index("ix_production_checks_task", "production_checks", ["task"])


def _input_checks() -> None:
    op.create_table(
        "input_checks",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("mean_tokens", sa.Float(), nullable=False),
        sa.Column("distance", sa.Float(), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=False),
        sa.Column("alpha", sa.Float(), nullable=False),
        sa.Column("drifted", sa.Boolean(), nullable=False),
        sa.Column("sample", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("until", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("task", "prompt_version_id", "look", name="pk_input_checks"),
    )


def _mark_every_day() -> None:
    """From day to day through the index on `finished_at`: a ledger of millions of rows is not read for this."""
    connection = op.get_bind()
    marks = sa.table("ledger_marks", sa.column("day", sa.Date()), sa.column("writer"), sa.column("revision"))
    days = sorted({day for name in ("calls", "attempts") for day in _days_of(connection, name)})
    writer = uuid.uuid4().hex
    for day in days:
        connection.execute(marks.insert().values(day=day, writer=writer, revision=1))


def _days_of(connection: sa.Connection, name: str) -> list[date]:
    table = sa.table(name, sa.column("finished_at", UtcDateTime()))
    found: list[date] = []
    after = datetime(1970, 1, 1, tzinfo=UTC)
    while True:
        query = (
            sa.select(table.c.finished_at).where(table.c.finished_at >= after).order_by(table.c.finished_at).limit(1)
        )
        first = connection.execute(query).scalar()
        if first is None:
            return found
        found.append(first.date())
        after = datetime.combine(first.date() + timedelta(days=1), time(), UTC)
