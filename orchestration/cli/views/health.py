"""The guards of the execution core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.errors import PromptoryError, StateUnavailableError
from orchestration.cli.figures import dollars, percent, usd
from orchestration.cli.opening import ask_core
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.llm import LLMClient
from resources.llm.health import Health, Upkeep, state_away
from resources.llm.state.protocol import ModelState, ScopeState
from resources.storage.reach import location_problem

COLOURS = {"healthy": "green", "warning": "yellow", "degraded": "red"}


def shown(as_json: bool, *, check: bool = False) -> int:
    """Print the health; the exit code that stands for it."""

    async def ask(client: LLMClient) -> tuple[Health, dict[str, PromptoryError | None]]:
        return await client.health(), await client.endpoint_problems() if check else {}

    environment = Environment.read()
    try:
        health, endpoints = ask_core(environment.core_settings(), ask)
    except StateUnavailableError as error:
        health, endpoints = state_away(str(error), Upkeep(waiting_calls=0)), {}
    locations = _locations(environment) if check else {}
    value = health_values(health)
    if check:
        value["endpoints"] = {name: error.as_dict() if error else None for name, error in endpoints.items()}
        value["locations"] = {name: error.as_dict() if error else None for name, error in locations.items()}

    def show(console: Console) -> None:
        show_health(console, health)
        if check:
            rows = [[name, _reached(error)] for name, error in endpoints.items()]
            none = "No endpoint is configured." if health.state_available else "No endpoint was asked."
            console.print(table("Endpoints", ["endpoint", "state"], rows) if rows else none)
            rows = [[name, _reached(error)] for name, error in locations.items()]
            console.print(table("Files", ["location", "state"], rows))

    emit(as_json, value, show)
    return int(health.overall == "degraded" or any(endpoints.values()) or any(locations.values()))


def _locations(environment: Environment) -> dict[str, PromptoryError | None]:
    read = (environment.landing_root, environment.batch_root)
    problems = {environment.storage_root: location_problem(environment.storage_root, writes=True)}
    return {**problems, **{location: location_problem(location, writes=False) for location in read}}


def _reached(error: PromptoryError | None) -> Text:
    return Text("reached", style="green") if error is None else Text(str(error), style="red")


def health_values(health: Health) -> dict[str, Any]:
    """The health for JSON."""
    budgets = [
        {**asdict(budget), "cap_usd": None if budget.cap_nano_usd is None else usd(budget.cap_nano_usd)}
        for budget in health.budgets
    ]
    return {**asdict(health), "budgets": budgets}


def show_health(console: Console, health: Health) -> None:
    """The overall state, why, and its parts."""
    console.print(Text(f"{health.overall}", style=f"bold {COLOURS[health.overall]}"))
    for reason in health.reasons:
        console.print(f"  {reason}")
    if health.models:
        console.print(models_table(health.models))
    if health.budgets:
        columns = ["scope", "cap", "spent", "ambiguous", "reserved", "used", "frozen"]
        rows = [_budget(budget) for budget in health.budgets]
        console.print(table("Budgets", columns, rows, right=columns[1:6]))
    if health.cache is not None:
        pairs = asdict(health.cache).items()
        console.print(table("Cache", ["what", "value"], [[name.replace("_", " "), value] for name, value in pairs]))
    if health.ledger_waiting_calls:
        console.print(f"{health.ledger_waiting_calls} finished calls wait for the ledger's database.")


def models_table(models: Sequence[ModelState]) -> Table:
    """Breaker and limiter of each model."""
    columns = ["model", "breaker", "faults in a row", "requests left", "tokens left", "paused until"]
    return table("Breakers and limits", columns, [_model(model) for model in models], right=columns[2:])


def _model(model: ModelState) -> list[object]:
    left = [_left(share) for share in (model.requests_left, model.tokens_left)]
    colour = "green" if model.breaker == "closed" else "red"
    paused = "" if model.paused_until is None else f"{datetime.fromtimestamp(model.paused_until, UTC):%H:%M:%S} UTC"
    return [model.model, Text(model.breaker, style=colour), model.consecutive_faults, *left, paused]


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
