"""What the page of an optimization run shows."""

from __future__ import annotations

from typing import Any

import dagster as dg

from assets.presentation.charts import ScoreBar, score_chart
from assets.presentation.tables import dollars, markdown_table, percent
from assets.prompts.metadata import prompt_metadata
from domain.identity import short_id
from resources.database.repositories.effort import RunEffort
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord


def run_metadata(
    record: OptimizationRunRecord, result: PromptVersionRecord, parent: PromptVersionRecord, effort: RunEffort
) -> dict[str, Any]:
    """Result, candidates, the prompt that won, and what the run took since it began, in however many processes.

    What it took now, and not in a former process, comes from the resource.
    """
    duration = (record.finished_at - record.started_at).total_seconds() if record.finished_at else 0.0
    metadata: dict[str, Any] = {
        "run_id": record.id,
        "optimizer": record.optimizer,
        "stopped_early": record.stop_reason or "no",
        "result_version": result.version,
        "result_version_id": result.id,
        "improved_on_dev": result.id != parent.id,
        "run_calls": effort.calls,
        "run_tokens": effort.input_tokens + effort.output_tokens,
        "run_cost_usd": dollars(effort.cost_nano_usd),
        "duration_s": round(duration, 3),
        "candidates": dg.MetadataValue.md(_candidate_table(record)),
        "chart": dg.MetadataValue.md(_chart(record)),
        **prompt_metadata(result.prompt),
    }
    if record.dev_score is not None:
        metadata["dev_score"] = record.dev_score
    return metadata


def _candidate_table(record: OptimizationRunRecord) -> str:
    rows = [
        [number, short_id(one["prompt_version_id"]), one["kind"], one["demonstrations"], _score(one["dev_score"])]
        for number, one in enumerate(record.candidates, start=1)
    ]
    return markdown_table(["", "prompt version", "differs in", "demonstrations", "score on dev"], rows)


def _chart(record: OptimizationRunRecord) -> str:
    bars = [
        ScoreBar(
            f"{number} · {one['kind']}",
            one["dev_score"],
            one["dev_score"],
            one["dev_score"],
            one["prompt_version_id"] == record.result_prompt_version_id,
        )
        for number, one in enumerate(record.candidates, start=1)
        if one["dev_score"] is not None
    ]
    return score_chart("Candidates by score on dev", bars)


def _score(score: float | None) -> str:
    return "not scored" if score is None else percent(score)
