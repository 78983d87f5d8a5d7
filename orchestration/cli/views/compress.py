"""Compressing a task's production prompt, and what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text
from upath import UPath

from domain.errors import NotFoundError
from orchestration.cli.figures import dollars, named, percent
from orchestration.cli.opening import current_database, open_catalog
from orchestration.cli.progress_bars import progress_bars
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.comparison.page import FOLDER
from resources.compression.picture import draw_front
from resources.compression.run import Compression, CompressionRun
from resources.database.repositories import dataset_versions, prompt_versions
from resources.database.session import Database
from resources.evaluation.promote import PRODUCTION, Promotion, promote_decided
from resources.llm import open_client
from resources.observability.progress import board


def compressed(task: str, as_json: bool) -> None:
    """Compress, ask the gate, carry its decision out."""
    environment = Environment.read()
    root = UPath(environment.storage_root)
    with current_database(environment) as database:
        run = _planned(environment, database, task)
        with progress_bars(shown=not as_json):
            found = asyncio.run(_execute(environment, database, root, run))
        outcome = None
        if found.contest is not None:
            outcome = promote_decided(database, task, found.contest.decision.id, datetime.now(UTC))
    picture = draw_front(found, root / FOLDER / f"{run.id}.svg")
    value = {**_values(found, outcome), "picture": str(picture)}
    emit(as_json, value, lambda console: _show(console, found, outcome, str(picture)))


def _planned(environment: Environment, database: Database, task_name: str) -> CompressionRun:
    task = open_catalog(environment).get(task_name).task
    with database.session(read_only=True) as session:
        production = prompt_versions.get(session, task_name, PRODUCTION)
        dataset = dataset_versions.latest(session, task_name)
    if dataset is None:
        raise NotFoundError(
            f"task {task_name!r} has no dataset version yet", mend=f"run `promptory ingest {task_name}` first."
        )
    return CompressionRun(task, production, dataset)


async def _execute(environment: Environment, database: Database, root: UPath, run: CompressionRun) -> Compression:
    settings = environment.core_settings()
    caps = {**run.task.caps(run.id), **settings.budgets}
    async with open_client(settings.model_copy(update={"budgets": caps})) as client:
        found = await run.execute(database, root, client, lambda: datetime.now(UTC), board.report)
        # A finished run makes no more calls: its used-up cap would only be a standing warning.
        await client.set_cap(f"run:{run.id}", None)
        return found


def _values(found: Compression, outcome: Promotion | None) -> dict[str, Any]:
    decision = found.contest.decision if found.contest else None
    front = {one.prompt_version_id for one in found.front}
    return {
        "task": found.run.task,
        "run_id": found.run.id,
        "stop_reason": found.run.stop_reason,
        "trials": [{**asdict(one), "on_front": one.prompt_version_id in front} for one in found.trials],
        "chosen": {"version": found.chosen.version, "id": found.chosen.id} if found.chosen else None,
        "decision": {"id": decision.id, "verdict": decision.verdict, "reason": decision.reason} if decision else None,
        "promoted": outcome.moved if outcome else False,
        "outcome": outcome.reason if outcome else None,
    }


def _show(console: Console, found: Compression, outcome: Promotion | None, picture: str) -> None:
    front = {one.prompt_version_id for one in found.front}
    chosen = found.chosen.id if found.chosen else None
    dearest = found.trials[0].cost_nano_usd or 1
    rows = [
        [
            Text(one.change, style="bold green" if one.prompt_version_id == chosen else ""),
            one.model,
            one.demonstrations,
            percent(one.score),
            dollars(one.cost_nano_usd),
            f"{one.cost_nano_usd / dearest:.0%}",
            "yes" if one.prompt_version_id in front else "",
        ]
        for one in found.trials
    ]
    columns = ["variant", "model", "examples", "score on dev", "cost of dev", "of production's", "on the front"]
    console.print(table("Variants on dev", columns, rows, right=columns[2:6]))
    if found.run.stop_reason:
        console.print(Text("The run's own cap (budget.run_usd) cut the search short.", style="yellow"))
    if found.chosen is None or found.contest is None:
        console.print("No variant is cheaper enough without losing too much on dev; test was not looked at.")
    else:
        console.print(f"Chosen: {named(found.chosen)}. Gate: {found.contest.decision.verdict}", markup=False)
        console.print(f"  {outcome.reason if outcome else found.contest.decision.reason}", markup=False)
    console.print(f"Picture: {picture}", soft_wrap=True)
