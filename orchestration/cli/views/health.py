"""The guards of the execution core."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestration.cli.figures import dollars, percent, usd
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.llm import open_client
from resources.llm.health import Health
from resources.llm.settings import CoreSettings
from resources.llm.state.protocol import ModelState, ScopeState

COLOURS = {"healthy": "green", "warning": "yellow", "degraded": "red"}


def shown(as_json: bool) -> int:
    """Print the health; the exit code that stands for it."""
    health = asyncio.run(_ask(Environment.read().core_settings()))
    emit(as_json, _values(health), lambda console: _show(console, health))
    return int(health.overall == "degraded")


async def _ask(settings: CoreSettings) -> Health:
    async with open_client(settings) as client:
        return await client.health()


def _values(health: Health) -> dict[str, Any]:
    budgets = [
        {**asdict(budget), "cap_usd": None if budget.cap_nano_usd is None else usd(budget.cap_nano_usd)}
        for budget in health.budgets
    ]
    return {**asdict(health), "budgets": budgets}


def _show(console: Console, health: Health) -> None:
    console.print(Text(f"{health.overall}", style=f"bold {COLOURS[health.overall]}"))
    for reason in health.reasons:
        console.print(f"  {reason}")
    if health.models:
        columns = ["model", "breaker", "faults in a row", "requests left", "tokens left"]
        console.print(
            table("Breakers and limits", columns, [_model(model) for model in health.models], right=columns[2:])
        )
    if health.budgets:
        columns = ["scope", "cap", "spent", "ambiguous", "reserved", "used", "frozen"]
        rows = [_budget(budget) for budget in health.budgets]
        console.print(table("Budgets", columns, rows, right=columns[1:6]))
    if health.cache is not None:
        pairs = asdict(health.cache).items()
        console.print(table("Cache", ["what", "value"], [[name.replace("_", " "), value] for name, value in pairs]))
    if health.ledger_waiting_calls:
        console.print(f"{health.ledger_waiting_calls} finished calls wait for the ledger's database.")


def _model(model: ModelState) -> list[object]:
    left = [_left(share) for share in (model.requests_left, model.tokens_left)]
    colour = "green" if model.breaker == "closed" else "red"
    return [model.model, Text(model.breaker, style=colour), model.consecutive_faults, *left]


def _left(share: float | None) -> str:
    return "unlimited" if share is None else percent(share)


def _budget(budget: ScopeState) -> list[object]:
    cap = budget.cap_nano_usd
    amounts = (budget.settled_nano_usd, budget.ambiguous_nano_usd, budget.reserved_nano_usd)
    used = percent(sum(amounts) / cap) if cap else "–"
    return [
        budget.scope,
        "none" if cap is None else dollars(cap),
        *(dollars(amount) for amount in amounts),
        used,
        "frozen" if budget.frozen else "",
    ]
