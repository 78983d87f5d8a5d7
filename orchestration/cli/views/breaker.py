"""Circuit breakers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from rich.console import Console

from domain.errors import InputError
from orchestration.cli.opening import ask_core
from orchestration.cli.screen import emit
from orchestration.cli.views.health import models_table
from orchestration.environments import Environment


def listed(as_json: bool) -> None:
    """Every model's breaker."""
    health = ask_core(Environment.read().core_settings(), lambda client: client.health())

    def show(console: Console) -> None:
        if not health.models:
            console.print("No model was asked yet, and none has a limit.")
            return
        console.print(models_table(health.models))

    emit(as_json, {"models": [asdict(model) for model in health.models]}, show)


def moved(model: str, state: Literal["closed", "open"], as_json: bool) -> None:
    """Open or close one."""
    provider, slash, name = model.partition("/")
    if not (provider and slash and name):
        raise InputError(
            f"{model!r} does not name a provider", field="model", mend="write provider/name, e.g. openai/gpt-4o-mini."
        )
    before = ask_core(Environment.read().core_settings(), lambda client: client.set_breaker(model, state))
    value = {"model": model, "breaker": state, "before": before}
    emit(as_json, value, lambda console: console.print(f"{model}: {state} (was {before})."))
