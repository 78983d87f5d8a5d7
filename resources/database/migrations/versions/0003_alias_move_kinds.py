"""What kind of move each alias move was; runs are found by the version they ended in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RESULT_INDEX = "ix_optimization_runs_task_result_prompt_version_id"


def upgrade() -> None:
    """Add `kind`; what older moves were follows from their other columns."""
    op.add_column("alias_moves", sa.Column("kind", sa.String(length=20), nullable=True))
    op.execute(
        "UPDATE alias_moves SET kind = CASE WHEN from_id IS NULL THEN 'first' "
        "WHEN decision_id IS NOT NULL THEN 'gate' ELSE 'hand' END"
    )
    with op.batch_alter_table("alias_moves") as table:
        table.alter_column("kind", existing_type=sa.String(length=20), nullable=False)
        table.create_check_constraint(
            op.f("ck_alias_moves_kind"), "kind IN ('first', 'gate', 'hand', 'override', 'rollback', 'release')"
        )
    op.create_index(RESULT_INDEX, "optimization_runs", ["task", "result_prompt_version_id"])


def downgrade() -> None:
    """Forget the kinds."""
    op.drop_index(RESULT_INDEX, "optimization_runs")
    with op.batch_alter_table("alias_moves") as table:
        table.drop_constraint(op.f("ck_alias_moves_kind"), type_="check")
        table.drop_column("kind")
