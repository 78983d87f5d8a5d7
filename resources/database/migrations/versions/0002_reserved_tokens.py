"""The tokens that an attempt reserved, beside the money."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("reserved_input_tokens", "reserved_output_tokens")


def upgrade() -> None:
    """Add the columns; of earlier attempts nobody knows them."""
    for name in COLUMNS:
        op.add_column("attempts", sa.Column(name, sa.Integer(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name in COLUMNS:
        op.drop_column("attempts", name)
