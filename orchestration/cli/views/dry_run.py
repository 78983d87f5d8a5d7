"""What an optimization run would ask for and could cost, without asking."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from domain.dataset import Split
from domain.errors import InputError
from domain.optimization import OptimizerSpec, check_optimizer
from domain.optimization_plan import Range
from domain.task import Task
from orchestration.cli.figures import dollars
from orchestration.cli.opening import open_catalog
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.validation import check_dataset
from orchestration.environments import Environment
from resources.llm.prices import price_book
from resources.optimization.plan import ASSUMPTION, PlanLine, RunPlan, binding_caps, plan_run
from resources.storage.location import path_at

COLUMNS = ("stage", "calls of", "model", "calls", "tokens in", "tokens out", "dollars")


def planned(task_name: str, as_json: bool) -> None:
    """Print the plan of `promptory optimize`."""
    environment = Environment.read()
    entry = open_catalog(environment).get(task_name)
    task, optimizer = entry.task, entry.task.optimizer
    if optimizer is None:
        raise InputError(
            f"task {task_name!r} names no optimizer",
            file=str(entry.path),
            field="optimizer",
            mend="add `optimizer: {kind: …}`.",
        )
    check_optimizer(optimizer, task.prompt.model)
    ingested, counts = check_dataset(task, entry.path, path_at(environment.landing_root))
    rows = list(ingested.rows.values())
    settings = environment.core_settings()
    plan = plan_run(
        task.prompt.version(),
        optimizer,
        [row for row in rows if row.split is Split.TRAIN],
        [row for row in rows if row.split is Split.DEV],
        price_book(settings),
        binding_caps(task, settings),
        task.metric,
    )
    value = {
        "task": task_name,
        "dry_run": True,
        "optimizer": optimizer.model_dump(mode="json"),
        "model": task.prompt.model,
        "split_rows": counts,
        **plan.values(),
    }
    emit(as_json, value, lambda console: _show(console, task, optimizer, counts, plan))


def _show(console: Console, task: Task, optimizer: OptimizerSpec, counts: dict[str, int], plan: RunPlan) -> None:
    told: dict[str, object] = {
        "optimizer": f"{optimizer.kind} on {counts['train']:,} train and {counts['dev']:,} dev rows",
        "model": task.prompt.model,
    }
    told |= {f"cap of {scope}": dollars(cap) for scope, cap in plan.caps_nano_usd.items()}
    if plan.bound_nano_usd is not None:
        told["so the run spends at most"] = dollars(plan.bound_nano_usd)
    console.print(facts(told))
    rows = [_cells(line) for line in plan.lines]
    if len(rows) > 1:
        rows.append(["in all", "", "", _text(plan.calls), "", "", _money(plan.cost)])
    console.print(table("Plan, as expected and at most", COLUMNS, rows, whole=COLUMNS[3:]))
    if plan.cut_short:
        console.print(
            Text.assemble(("warning", "yellow"), "  a cap is below what is expected: it will cut the run short.")
        )
    console.print(ASSUMPTION, style="dim")
    console.print("Nothing was asked and nothing was paid.")


def _cells(line: PlanLine) -> list[object]:
    size = line.size
    figures = [_text(line.calls), _text(size.input_tokens), _text(size.output_tokens), _money(line.cost)]
    return [line.stage, line.purpose, line.model, *figures]


def _text(figures: Range) -> str:
    return f"{figures.expected:,} ≤ {figures.at_most:,}"


def _money(cost: Range | None) -> str:
    return "no known price" if cost is None else f"{dollars(cost.expected)} ≤ {dollars(cost.at_most)}"
