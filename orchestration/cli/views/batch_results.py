"""A batch's results on the terminal or in one file."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from rich.console import Console

from orchestration.cli.figures import dollars
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.batch_inference.reading import BatchResults
from resources.storage.location import path_at

COLUMNS = ("row", "key", "status", "value", "reason", "cost", "call")


def shown_results(reference: str, to: Path | None, limit: int, as_json: bool) -> None:
    """Print the first `limit` results, or write all."""
    environment = Environment.read()
    with current_database(environment) as database:
        results = BatchResults(database, path_at(environment.storage_root), reference)
        if to is not None:
            written = results.write(path_at(to))
            emit(
                as_json,
                {"batch": results.batch.id, "file": str(to), "rows": written, "of": results.batch.rows},
                lambda console: console.print(f"{written:,} of {results.batch.rows:,} rows written to {to}."),
            )
            return
        rows = list(islice(results.rows(), limit))

    def show(console: Console) -> None:
        lines = [
            [
                row["row"],
                row["key"] or "",
                row["status"],
                (row["value"] or "")[:80],
                (row["reason"] or "")[:80],
                dollars(row["cost_nano_usd"]),
                row["call_id"] or "",
            ]
            for row in rows
        ]
        console.print(table(None, COLUMNS, lines, right=("row", "cost")))

    emit(as_json, {"batch": results.batch.id, "rows": rows}, show)
