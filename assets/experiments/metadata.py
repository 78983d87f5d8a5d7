"""What the page of an experiment's report shows."""

from __future__ import annotations

from typing import Any

import dagster as dg

from assets.presentation.charts import as_markdown
from assets.presentation.experiment_charts import experiment_figure
from assets.presentation.experiment_tables import Rows, arm_rows, books_rows, comparison_rows
from assets.presentation.tables import dollars, markdown_table
from resources.experiments.reporting import LiveReport


def report_metadata(live: LiveReport) -> dict[str, Any]:
    """Verdict, figures with their confidence sequences, picture, and where every answer and outcome went."""
    report, record = live.report, live.started.record
    figure = experiment_figure(live.started.experiment, report)
    metadata: dict[str, Any] = {
        "verdict": report.verdict.kind,
        "reason": report.verdict.reason,
        "state": record.state,
        "task": record.task,
        "units": live.bookkeeping.units,
        "analysed": report.analysed,
        "cost_usd": dollars(round(_cost(live))),
        "sample_ratio": report.sample_ratio.sentence,
        "variants": dg.MetadataValue.md(_markdown(arm_rows(live))),
        "comparisons": dg.MetadataValue.md(_markdown(comparison_rows(report))),
        "chart": dg.MetadataValue.md(as_markdown(figure, f"Gain in {report.metric} over {report.control}")),
        "bookkeeping": dg.MetadataValue.md(_markdown(books_rows(live.bookkeeping))),
        "observations_id": live.observations_id,
    }
    best = max(report.comparisons, key=lambda one: one.gain if one.gain is not None else -2.0)
    if best.gain is not None:
        metadata |= {"gain": best.gain, "gain_low": best.low, "gain_high": best.high, "p_value": best.p_value}
    if record.stop_reason:
        metadata |= {"stopped_because": f"{record.stop_kind}: {record.stop_reason}"}
    if live.decision is not None:
        metadata |= {"decision_id": live.decision.id, "decision": live.decision.verdict}
    return metadata


def _cost(live: LiveReport) -> float:
    """What the answers of the analysed units cost, at the mean of each variant."""
    return sum((arm.mean_cost_nano_usd or 0.0) * arm.exposed for arm in live.report.arms)


def _markdown(content: Rows) -> str:
    header, rows = content
    return markdown_table(header, rows)
