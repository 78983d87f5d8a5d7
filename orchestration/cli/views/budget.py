"""Budgets: reading them and moving them by hand."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.errors import ConfigurationError, InputError, NotFoundError
from orchestration.cli.figures import dollars, usd
from orchestration.cli.opening import ask_core, open_catalog
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.llm import CoreSettings, LLMClient
from resources.llm.budget_summary import BudgetLine
from resources.llm.scopes import cap_name

PASSING = ("run:", "experiment:")
COLUMNS = ["scope", "cap", "spent", "ambiguous", "reserved", "left", "today", "mean / day", "month's projection", ""]


def listed(everything: bool, as_json: bool) -> None:
    """One line per scope."""
    settings = Environment.read().core_settings()
    lines = ask_core(settings, lambda client: client.budget_summary())
    shown = [line for line in lines if everything or not _passing(line)]
    value = {"time_zone": settings.time_zone, "budgets": [_values(line) for line in shown]}

    def show(console: Console) -> None:
        if not shown:
            console.print("No scope has a cap, and none was charged lately. Set one: promptory budget set day 5")
            return
        title = f"Budgets ({settings.time_zone})"
        console.print(table(title, COLUMNS, [_cells(line) for line in shown], right=COLUMNS[1:9], whole=["scope"]))

    emit(as_json, value, show)


def capped(scope: str, amount: str, as_json: bool) -> None:
    """Set a cap."""
    try:
        cap = Decimal(amount)
    except InvalidOperation:
        raise InputError(
            f"{amount!r} is not an amount of USD", field="usd", mend="write a number, e.g. 2.50."
        ) from None
    _move(scope, cap, as_json)


def lifted(scope: str, as_json: bool) -> None:
    """Lift a cap."""
    _move(scope, None, as_json)


def unfrozen(window: str, as_json: bool) -> None:
    """Unfreeze a window that is frozen."""

    async def unfreeze(client: LLMClient) -> None:
        frozen = [state.scope for state in await client.budgets() if state.frozen]
        if window not in frozen:
            raise NotFoundError(
                f"{window!r} is not frozen",
                field="window",
                mend=f"frozen are: {', '.join(frozen)}." if frozen else "no window is.",
            )
        await client.unfreeze(window)

    ask_core(Environment.read().core_settings(), unfreeze)
    emit(as_json, {"window": window, "frozen": False}, lambda console: console.print(f"{window} admits calls again."))


def _move(scope: str, cap: Decimal | None, as_json: bool) -> None:
    environment = Environment.read()
    settings = _with_task_cap(environment, scope)

    async def move(client: LLMClient) -> int | None:
        before = next((line.cap_nano_usd for line in await client.budget_summary() if line.scope == scope), None)
        await client.set_cap(scope, cap)
        return before

    before = ask_core(settings, move)
    value = {"scope": scope, "cap_usd": cap, "before_usd": None if before is None else usd(before)}

    def show(console: Console) -> None:
        was = "none" if before is None else dollars(before)
        console.print(f"{scope}: cap {'none' if cap is None else f'${cap}'} (was {was}).", markup=False)
        if cap is None and scope in settings.budgets:
            console.print("The settings still name one: it returns when its figure there changes.", style="dim")

    emit(as_json, value, show)


def _with_task_cap(environment: Environment, scope: str) -> CoreSettings:
    """The settings with the cap of the task's own file, so that a later run does not put it above the one set here."""
    settings = environment.core_settings()
    kind, _, name = scope.partition(":")
    if kind != "task" or not name or scope in settings.budgets:
        return settings
    try:
        caps = open_catalog(environment).get(name).task.caps()
    except (ConfigurationError, NotFoundError, InputError):
        return settings
    return settings.model_copy(update={"budgets": {**settings.budgets, **caps}})


def _passing(line: BudgetLine) -> bool:
    return line.cap_nano_usd is None and line.scope.startswith(PASSING) and not line.frozen


def _values(line: BudgetLine) -> dict[str, Any]:
    values = {**asdict(line), "remaining_nano_usd": line.remaining_nano_usd}
    amounts = {name: amount for name, amount in values.items() if name.endswith("_nano_usd")}
    exact = {name.replace("_nano_usd", "_usd"): None if one is None else usd(one) for name, one in amounts.items()}
    return {**values, **exact}


def _cells(line: BudgetLine) -> list[object]:
    amounts = (
        line.cap_nano_usd,
        line.spent_nano_usd,
        line.ambiguous_nano_usd,
        line.reserved_nano_usd,
        line.remaining_nano_usd,
        line.today_nano_usd,
        line.mean_day_nano_usd,
    )
    cap = line.cap_nano_usd
    beyond = cap is not None and cap_name(line.window) == "month" and line.month_projection_nano_usd > cap
    projection = Text(dollars(line.month_projection_nano_usd), style="yellow" if beyond else "")
    return [
        line.window,
        *("–" if amount is None else dollars(amount) for amount in amounts),
        projection,
        Text("frozen", style="red") if line.frozen else "",
    ]
