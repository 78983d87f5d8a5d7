"""An index for what drift reads of production's calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

WHERE = (
    "prompt_version_id IS NOT NULL AND status = 'ok' "
    "AND purpose NOT IN ('optimize', 'evaluate', 'judge', 'check', 'load')"
)


def upgrade() -> None:
    """Create it."""
    op.create_index(
        "ix_calls_of_production",
        "calls",
        ["prompt_version_id", "finished_at"],
        sqlite_where=sa.text(WHERE),
        postgresql_where=sa.text(WHERE),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_calls_of_production", "calls")
