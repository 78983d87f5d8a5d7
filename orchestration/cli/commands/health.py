"""`promptory health`: the execution core's guards."""

from __future__ import annotations

import typer

from orchestration.cli.options import AsJson


def health(as_json: AsJson = False) -> None:
    """Show breakers, rate limits, budgets and cache. Exits with 0 when healthy or with a warning, 1 when degraded."""
    from orchestration.cli.views.health import shown

    raise typer.Exit(shown(as_json))


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory health && promptory optimize support_triage")(health)
