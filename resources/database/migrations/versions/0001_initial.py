"""The first schema: catalogue, optimization, evaluations, ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    _tasks()
    _dataset_versions()
    _prompt_versions()
    _aliases()
    _alias_moves()
    _optimization_runs()
    _optimization_journal()
    _answers()
    _evaluations()
    _gate_decisions()
    _calls()
    _attempts()
    _budget_scopes()


def downgrade() -> None:
    """Drop the tables; what refers to others goes first."""
    for table in (
        "budget_scopes",
        "attempts",
        "calls",
        "gate_decisions",
        "evaluations",
        "answers",
        "optimization_journal",
        "optimization_runs",
        "alias_moves",
        "aliases",
        "prompt_versions",
        "dataset_versions",
        "tasks",
    ):
        op.drop_table(table)


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("spec_id", sa.String(length=64), nullable=False),
        sa.Column("source_path", sa.Text(), nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tasks")),
    )


def _dataset_versions() -> None:
    op.create_table(
        "dataset_versions",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("storage_path", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("split_rows", sa.JSON(), nullable=False),
        sa.Column("quarantined", sa.Integer(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_dataset_versions_version")),
        sa.PrimaryKeyConstraint("task", "id", name=op.f("pk_dataset_versions")),
        sa.UniqueConstraint("task", "version", name=op.f("uq_dataset_versions_task_version")),
    )
    op.create_index("ix_dataset_versions_id", "dataset_versions", ["id"])


def _prompt_versions() -> None:
    op.create_table(
        "prompt_versions",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("parent_id", sa.String(length=64), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_prompt_versions_version")),
        sa.PrimaryKeyConstraint("task", "id", name=op.f("pk_prompt_versions")),
        sa.UniqueConstraint("task", "version", name=op.f("uq_prompt_versions_task_version")),
    )
    op.create_index("ix_prompt_versions_id", "prompt_versions", ["id"])


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("alias", sa.String(length=50), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_aliases_revision")),
        sa.ForeignKeyConstraint(
            ["task", "prompt_version_id"],
            ["prompt_versions.task", "prompt_versions.id"],
            name=op.f("fk_aliases_task_prompt_version_id_prompt_versions"),
        ),
        sa.PrimaryKeyConstraint("task", "alias", name=op.f("pk_aliases")),
    )


def _alias_moves() -> None:
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("alias", sa.String(length=50), nullable=False),
        sa.Column("from_id", sa.String(length=64), nullable=True),
        sa.Column("to_id", sa.String(length=64), nullable=False),
        sa.Column("moved_by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.String(length=64), nullable=True),
        sa.Column("moved_at", TIMESTAMP, nullable=False),
        sa.ForeignKeyConstraint(
            ["task", "to_id"],
            ["prompt_versions.task", "prompt_versions.id"],
            name=op.f("fk_alias_moves_task_to_id_prompt_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias_moves")),
    )
    op.create_index("ix_alias_moves_task_alias", "alias_moves", ["task", "alias"])


def _optimization_runs() -> None:
    op.create_table(
        "optimization_runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_version_id", sa.String(length=64), nullable=False),
        sa.Column("optimizer", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("result_prompt_version_id", sa.String(length=64), nullable=True),
        sa.Column("reference_prompt_version_ids", sa.JSON(), nullable=False),
        sa.Column("dev_score", sa.Float(), nullable=True),
        sa.Column("candidates", sa.JSON(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_optimization_runs")),
    )
    op.create_index("ix_optimization_runs_task_started_at", "optimization_runs", ["task", "started_at"])


def _optimization_journal() -> None:
    op.create_table(
        "optimization_journal",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_optimization_journal")),
    )


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("prompt_version_id", sa.String(length=64), nullable=False),
        sa.Column("input_id", sa.String(length=64), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("latency_s", sa.Float(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("prompt_version_id", "input_id", "sample", name=op.f("pk_answers")),
    )


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_version_id", sa.String(length=64), nullable=False),
        sa.Column("split", sa.String(length=10), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("score_low", sa.Float(), nullable=False),
        sa.Column("score_high", sa.Float(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("storage_path", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
    op.create_index("ix_evaluations_prompt_version_id", "evaluations", ["prompt_version_id"])
    op.create_index("ix_evaluations_task_created_at", "evaluations", ["task", "created_at"])


def _gate_decisions() -> None:
    op.create_table(
        "gate_decisions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("production_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_version_id", sa.String(length=64), nullable=False),
        sa.Column("candidate_evaluation_id", sa.String(length=64), nullable=True),
        sa.Column("production_evaluation_id", sa.String(length=64), nullable=True),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("comparison", sa.JSON(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_decisions")),
    )
    op.create_index("ix_gate_decisions_task_created_at", "gate_decisions", ["task", "created_at"])
    op.create_index(
        "uq_gate_decisions_task_look",
        "gate_decisions",
        ["task", "look"],
        unique=True,
        sqlite_where=sa.text("look > 0"),
        postgresql_where=sa.text("look > 0"),
    )


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("origin_call_id", sa.String(length=64), nullable=True),
        sa.Column("purpose", sa.String(length=50), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=True),
        sa.Column("prompt_version_id", sa.String(length=64), nullable=True),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("dataset_version_id", sa.String(length=64), nullable=True),
        sa.Column("row_id", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("experiment_id", sa.Text(), nullable=True),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("requested_model", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=50), nullable=True),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("latency_s", sa.Float(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_calls")),
    )
    op.create_index("ix_calls_finished_at_call_id", "calls", ["finished_at", "call_id"])
    op.create_index("ix_calls_run_id", "calls", ["run_id"])
    op.create_index("ix_calls_task_finished_at", "calls", ["task", "finished_at"])
    op.create_index("ix_calls_task_row_id", "calls", ["task", "row_id"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("charge", sa.String(length=20), nullable=False),
        sa.Column("outcome", sa.String(length=30), nullable=False),
        sa.Column("reserved_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cached_input_tokens", sa.Integer(), nullable=False),
        sa.Column("price", sa.JSON(), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("provider_request_id", sa.Text(), nullable=True),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=False),
        sa.Column("latency_s", sa.Float(), nullable=False),
        sa.CheckConstraint("charge <> 'free' OR cost_nano_usd = 0", name=op.f("ck_attempts_free")),
        sa.CheckConstraint("charge IN ('settled', 'ambiguous', 'overrun', 'free')", name=op.f("ck_attempts_charge")),
        sa.CheckConstraint("cost_nano_usd >= 0 AND reserved_nano_usd >= 0", name=op.f("ck_attempts_money")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempts")),
    )
    op.create_index(
        "ix_attempts_ambiguous",
        "attempts",
        ["finished_at"],
        sqlite_where=sa.text("charge = 'ambiguous'"),
        postgresql_where=sa.text("charge = 'ambiguous'"),
    )
    op.create_index(op.f("ix_attempts_call_id"), "attempts", ["call_id"])
    op.create_index("ix_attempts_finished_at_attempt_id", "attempts", ["finished_at", "attempt_id"])


def _budget_scopes() -> None:
    op.create_table(
        "budget_scopes",
        sa.Column("scope", sa.String(length=300), nullable=False),
        sa.Column("cap_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("frozen_reason", sa.Text(), nullable=True),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.CheckConstraint("cap_nano_usd >= 0", name=op.f("ck_budget_scopes_cap")),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_budget_scopes")),
    )
