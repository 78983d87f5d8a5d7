"""What the page of an optimization run shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.presentation.charts import CostPoint, ScoreBar, scatter_chart, score_chart
from assets.presentation.prompt_diffs import diff_block
from assets.presentation.tables import dollars, markdown_table, percent, with_interval
from assets.prompts.metadata import prompt_metadata
from domain.identity import short_id
from domain.optimization_plan import Range
from resources.database.repositories.effort import RunEffort
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.optimization.plan import ASSUMPTION, RunPlan

SHOWN_CANDIDATES = 30
NOTHING_BETTER = "Nothing tried was better than the prompt it started from."


def run_metadata(
    record: OptimizationRunRecord,
    result: PromptVersionRecord,
    parent: PromptVersionRecord,
    effort: RunEffort,
    plan: RunPlan,
) -> dict[str, Any]:
    """Result, candidates, plan, the prompt that won beside its parent, and what the run took in all its processes.

    What it took now, and not in a former process, comes from the resource.
    """
    duration = (record.finished_at - record.started_at).total_seconds() if record.finished_at else 0.0
    ranked = sorted(record.candidates, key=lambda one: -(one["dev_score"] or 0.0))
    metadata: dict[str, Any] = {
        "run_id": record.id,
        "stopped_early": record.stop_reason or "no",
        "result_version": result.version,
        "result_version_id": result.id,
        "improved_on_dev": result.id != parent.id,
    }
    if record.dev_score is not None:
        metadata["dev_score"] = record.dev_score
    metadata |= {
        "run_calls": effort.calls,
        "run_tokens": effort.input_tokens + effort.output_tokens,
        "run_cost_usd": dollars(effort.cost_nano_usd),
        "duration_s": round(duration, 3),
        "candidates": dg.MetadataValue.md(_candidate_table(ranked, record.result_prompt_version_id)),
        "chart": dg.MetadataValue.md(_chart(ranked[:SHOWN_CANDIDATES], record.result_prompt_version_id)),
    }
    if record.dev_score is not None:
        metadata["score_vs_cost"] = dg.MetadataValue.md(_score_against_cost(record, ranked))
    return metadata | {
        "diff": dg.MetadataValue.md(diff_block(parent, result, NOTHING_BETTER)),
        **prompt_metadata(result.prompt),
        "plan": dg.MetadataValue.md(_plan_table(plan)),
        "optimizer": record.optimizer,
    }


def _plan_table(plan: RunPlan) -> str:
    rows = [
        [line.stage, line.purpose, line.model, _figures(line.calls), _figures(line.tokens), _money(line.cost)]
        for line in plan.lines
    ]
    header = ["stage", "calls of", "model", "calls", "tokens", "dollars"]
    return f"{markdown_table(header, rows)}\n\n{plan.sentence()}\n\n{ASSUMPTION}"


def _figures(figures: Range) -> str:
    return f"{figures.expected:,} ≤ {figures.at_most:,}"


def _money(cost: Range | None) -> str:
    return "no known price" if cost is None else f"{dollars(cost.expected):.4f} ≤ {dollars(cost.at_most):.4f}"


def _candidate_table(ranked: Sequence[dict[str, Any]], winner: str | None) -> str:
    rows = [
        [
            "★" if one["prompt_version_id"] == winner else number,
            short_id(one["prompt_version_id"]),
            one["kind"],
            one["demonstrations"],
            _score(one),
            _per_thousand(one),
        ]
        for number, one in enumerate(ranked, start=1)
    ]
    header = ["", "prompt version", "differs in", "demonstrations", "score on dev (95 %)", "USD per 1,000 rows"]
    return markdown_table(header, rows)


def _chart(ranked: Sequence[dict[str, Any]], winner: str | None) -> str:
    bars = [
        ScoreBar(
            f"{number} · {one['kind']}",
            one["dev_score"],
            one["dev_score"] if one.get("dev_low") is None else one["dev_low"],
            one["dev_score"] if one.get("dev_high") is None else one["dev_high"],
            one["prompt_version_id"] == winner,
        )
        for number, one in enumerate(ranked, start=1)
        if one["dev_score"] is not None
    ]
    return score_chart("Candidates by score on dev", bars)


def _score_against_cost(record: OptimizationRunRecord, ranked: Sequence[dict[str, Any]]) -> str:
    """All candidates; the winner and what the run started from by name, since the others lie close together."""
    names = {record.prompt_version_id: "started from", record.result_prompt_version_id: "result"}
    points = [
        CostPoint(
            cost, one["dev_score"], names.get(one["prompt_version_id"], ""),
            one["prompt_version_id"] == record.result_prompt_version_id,
        )
        for one in ranked
        if one["dev_score"] is not None and (cost := _usd_per_thousand(one)) is not None
    ]  # fmt: skip
    return scatter_chart("Score on dev against cost", points, "USD per 1,000 rows")


def _score(one: dict[str, Any]) -> str:
    if one["dev_score"] is None:
        return "not scored"
    if one.get("dev_low") is None:
        return percent(one["dev_score"])
    return with_interval(one["dev_score"], one["dev_low"], one["dev_high"])


def _per_thousand(one: dict[str, Any]) -> str:
    cost = _usd_per_thousand(one)
    return "" if cost is None else f"{cost:.4f}"


def _usd_per_thousand(one: dict[str, Any]) -> float | None:
    """From what its answers to the dev rows cost when they were made; None where none was."""
    rows = one.get("dev_rows")
    return 1_000 * dollars(one["dev_cost_nano_usd"]) / rows if rows else None
