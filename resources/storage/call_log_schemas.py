"""The columns of the Parquet files the metrics are built from.

Written out rather than derived from the database's tables: readers of old files rely on them, so a change of a table
must be a decision here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = (
    "call_id",
    "origin_call_id",
    "purpose",
    "task",
    "prompt_version_id",
    "step",
    "dataset_version_id",
    "row_id",
    "run_id",
    "batch_id",
    "experiment_id",
    "unit_id",
    "requested_model",
    "model",
    "status",
    "reason",
)


def calls_schema() -> pa.Schema:
    """One row per call; `day` is the UTC day of `finished_at`, money is in nano-USD, times are UTC."""
    import pyarrow as pa

    return pa.schema(
        [
            ("day", pa.date32()),
            *((name, pa.string()) for name in _TEXT),
            ("cached", pa.bool_()),
            ("attempts", pa.int32()),
            ("input_tokens", pa.int64()),
            ("output_tokens", pa.int64()),
            ("cost_nano_usd", pa.int64()),
            ("latency_s", pa.float64()),
            ("started_at", pa.timestamp("us", tz="UTC")),
            ("finished_at", pa.timestamp("us", tz="UTC")),
        ]
    )


def attempts_schema() -> pa.Schema:
    """One row per attempt; `price` is the JSON of the price it was charged at, null where the model had none.

    Reserved tokens are null for attempts made before they were kept, and files written before then lack the columns.
    """
    import pyarrow as pa

    return pa.schema(
        [
            ("day", pa.date32()),
            ("attempt_id", pa.string()),
            ("call_id", pa.string()),
            ("number", pa.int32()),
            ("model", pa.string()),
            ("charge", pa.string()),
            ("outcome", pa.string()),
            ("reserved_nano_usd", pa.int64()),
            ("cost_nano_usd", pa.int64()),
            ("input_tokens", pa.int64()),
            ("output_tokens", pa.int64()),
            ("cached_input_tokens", pa.int64()),
            ("reserved_input_tokens", pa.int64()),
            ("reserved_output_tokens", pa.int64()),
            ("price", pa.string()),
            ("scopes", pa.list_(pa.string())),
            ("provider_request_id", pa.string()),
            ("started_at", pa.timestamp("us", tz="UTC")),
            ("finished_at", pa.timestamp("us", tz="UTC")),
            ("latency_s", pa.float64()),
        ]
    )


def evaluations_schema() -> pa.Schema:
    """One row per evaluation; `summary` is JSON, scores are means in the metric's own unit."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("task", pa.string()),
            ("prompt_version_id", pa.string()),
            ("dataset_version_id", pa.string()),
            ("split", pa.string()),
            ("metric", pa.string()),
            ("rows", pa.int64()),
            ("score", pa.float64()),
            ("score_low", pa.float64()),
            ("score_high", pa.float64()),
            ("summary", pa.string()),
            ("storage_path", pa.string()),
            ("created_at", pa.timestamp("us", tz="UTC")),
        ]
    )


def days_schema() -> pa.Schema:
    """One row per copied day: what its two files hold, and since when its rows are nowhere else."""
    import pyarrow as pa

    return pa.schema(
        [
            ("day", pa.date32()),
            ("content_id", pa.string()),
            ("calls", pa.int64()),
            ("attempts", pa.int64()),
            ("cost_nano_usd", pa.int64()),
            ("ambiguous_nano_usd", pa.int64()),
            ("exported_at", pa.timestamp("us", tz="UTC")),
            ("removed_at", pa.timestamp("us", tz="UTC")),
        ]
    )


def budgets_schema() -> pa.Schema:
    """One row per budget scope when it was last looked at; money in nano-USD."""
    import pyarrow as pa

    return pa.schema(
        [
            ("scope", pa.string()),
            ("window", pa.string()),
            ("cap_nano_usd", pa.int64()),
            ("spent_nano_usd", pa.int64()),
            ("ambiguous_nano_usd", pa.int64()),
            ("reserved_nano_usd", pa.int64()),
            ("frozen", pa.bool_()),
            ("today_nano_usd", pa.int64()),
            ("mean_day_nano_usd", pa.int64()),
            ("month_projection_nano_usd", pa.int64()),
            ("taken_at", pa.timestamp("us", tz="UTC")),
        ]
    )


def production_checks_schema() -> pa.Schema:
    """One row per fresh evaluation of a production prompt."""
    import pyarrow as pa

    return pa.schema(
        [
            *((name, pa.string()) for name in ("id", "task", "prompt_version_id", "dataset_version_id")),
            *((name, pa.int32()) for name in ("sample", "look", "rows")),
            *((name, pa.float64()) for name in ("score", "score_low", "score_high", "reference_score", "difference")),
            ("p_value", pa.float64()),
            ("alpha", pa.float64()),
            ("checked_at", pa.timestamp("us", tz="UTC")),
        ]
    )
