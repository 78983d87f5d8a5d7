"""What a materialization of `batch_predictions` tells."""

from collections import Counter
from typing import Any

import dagster as dg
from upath import UPath

from assets.presentation.charts import count_chart
from assets.presentation.tables import markdown_table
from domain.batch.states import BatchState
from domain.identity import short_id
from domain.pricing import nano_to_usd
from resources.batch_inference.drain import Drained
from resources.batch_inference.results import FOLDER
from resources.database.repositories.batches import BatchRecord

SHOWN = 20


def drained_metadata(drained: Drained, root: UPath) -> dict[str, Any]:
    """Counts, money, what is paused and why, what could not be read, and the calls that were paid for twice."""
    done = [record for record in drained.batches if record.state == BatchState.DONE]
    statuses: Counter[str] = Counter()
    for record in done:
        statuses.update((record.summary or {})["by_status"])
    cost = sum((record.summary or {})["cost_nano_usd"] for record in done)
    repeats = [(record, repeat) for record in done for repeat in record.repeats]
    metadata: dict[str, Any] = {
        "files_taken_in": drained.taken_in,
        "files_delivered_before": drained.delivered_before,
        "files_refused": len(drained.refused),
        "batches_done": len(done),
        "batches_paused": sum(record.state == BatchState.PAUSED for record in drained.batches),
        "batches_waiting": sum(record.state == BatchState.WAITING for record in drained.batches),
        "dagster/row_count": statuses.total(),
        "rows_by_status": dict(statuses),
        "batches_cost_usd": float(nano_to_usd(cost)),
        "repeated_after_a_kill": len(repeats),
    }
    if drained.batches:
        metadata["batches"] = dg.MetadataValue.md(_batch_table(drained.batches, root))
    if statuses:
        metadata["status_counts"] = dg.MetadataValue.md(count_chart("Rows by status", dict(statuses)))
    if drained.refused:
        shown = [[name, problem] for name, problem in drained.refused[:SHOWN]]
        metadata["refused"] = dg.MetadataValue.md(markdown_table(["file", "problem"], shown))
    if repeats:
        rows = [[short_id(record.id), one["row"], one["call_id"], one["status"]] for record, one in repeats]
        metadata["repeated_calls"] = dg.MetadataValue.md(markdown_table(["batch", "row", "call", "status"], rows))
    return metadata


def _batch_table(records: list[BatchRecord], root: UPath) -> str:
    """Unfinished ones first: they are what a person looks for."""
    ordered = sorted(records, key=lambda record: record.state == BatchState.DONE)
    rows = [
        [short_id(one.id), one.state, f"{one.rows:,}", one.reason or "", str(root / one.folder / FOLDER)]
        for one in ordered[:SHOWN]
    ]
    more = f"\n\n… and {len(records) - SHOWN:,} more" if len(records) > SHOWN else ""
    return markdown_table(["batch", "state", "rows", "reason", "results"], rows) + more
