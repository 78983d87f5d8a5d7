"""What a backfill would do."""

from __future__ import annotations

from rich.console import Console

from orchestration.backfill import AssetPlan, Plan, plan
from orchestration.cli.figures import dollars
from orchestration.cli.opening import make_database
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment

COLUMNS = ("asset", "to make", "because", "fresh", "left out", "runs", "calls", "dollars")


def planned(assets: list[str], partitions: list[str] | None, force: bool, as_json: bool) -> None:
    """Print the plan."""
    environment = Environment.read()
    make_database(environment)
    found = plan(assets, partitions or "all", force=force, environment=environment)
    emit(as_json, found.values(), lambda console: _show(console, found))


def _show(console: Console, found: Plan) -> None:
    rows = [_cells(one) for one in found.assets]
    title = f"Plan for {len(found.partitions):,} {found.partition_set}, as expected and at most"
    console.print(table(title, COLUMNS, rows, right=("to make", "fresh", "left out", "runs"), whole=COLUMNS[6:]))
    for problem in found.problems:
        console.print(f"Not in the plan: {problem}", style="yellow", soft_wrap=True)
    for one in found.assets:
        if 0 < one.estimated_from < len(one.to_run):
            console.print(f"Figures of {one.asset}: the mean of {one.estimated_from} partitions.", style="dim")
    if not found.to_run:
        console.print("Everything is fresh: there is nothing to make.")
    console.print("Nothing was asked and nothing was paid.")


def _cells(one: AssetPlan) -> list[object]:
    because = ", ".join(f"{reason} ({count:,})" for reason, count in one.reasons.items())
    money = "no known price" if one.cost is None else f"{dollars(one.cost.expected)} ≤ {dollars(one.cost.at_most)}"
    return [
        one.asset,
        f"{len(one.to_run):,}",
        because,
        f"{len(one.fresh):,}",
        f"{len(one.left_out):,}",
        f"{one.runs:,}",
        f"{one.calls.expected:,} ≤ {one.calls.at_most:,}" if one.calls.at_most else "–",
        money if one.calls.at_most else "–",
    ]
