"""`promptory breaker`: circuit breakers."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Circuit breakers: list them, open or close one by hand.")

Model = Annotated[str, typer.Argument(metavar="MODEL", help="provider/name, e.g. openai/gpt-4o-mini.")]


@app.command("list", epilog="Example: promptory breaker list")
def list_breakers(as_json: AsJson = False) -> None:
    """List every model that was asked for or has a limit, with its breaker and limiter."""
    from orchestration.cli.views.breaker import listed

    listed(as_json)


@app.command("open", epilog="Example: promptory breaker open openai/gpt-4o-mini")
def open_breaker(model: Model, as_json: AsJson = False) -> None:
    """Send nothing to a model for now: its calls fall back. Probes begin after `breaker.open_s`, 60 s by default."""
    from orchestration.cli.views.breaker import moved

    moved(model, "open", as_json)


@app.command("close", epilog="Example: promptory breaker close openai/gpt-4o-mini")
def close_breaker(model: Model, as_json: AsJson = False) -> None:
    """Let calls to a model through again, at once."""
    from orchestration.cli.views.breaker import moved

    moved(model, "closed", as_json)
