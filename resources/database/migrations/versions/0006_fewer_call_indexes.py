"""Indexes of calls hold only what is looked for: each of them costs every call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NARROWED = {
    "ix_calls_task_row_id": (["task", "row_id"], "row_id IS NOT NULL AND batch_id IS NULL AND experiment_id IS NULL"),
    "ix_calls_run_id": (["run_id"], "run_id IS NOT NULL"),
}


def upgrade() -> None:
    """Narrow two, drop the one that only sums over a whole task used."""
    op.drop_index("ix_calls_task_finished_at", "calls")
    for name, (columns, where) in NARROWED.items():
        op.drop_index(name, "calls")
        op.create_index(name, "calls", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    """Make them whole again."""
    for name, (columns, _) in NARROWED.items():
        op.drop_index(name, "calls")
        op.create_index(name, "calls", columns)
    op.create_index("ix_calls_task_finished_at", "calls", ["task", "finished_at"])
