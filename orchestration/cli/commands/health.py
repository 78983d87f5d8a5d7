"""`promptory health`: the execution core's guards."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson


def health(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Reach every configured endpoint too, without generating anything, and the places of files.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show breakers, rate limits, budgets and cache.

    Exits with 0 when healthy or with a warning, 1 when degraded (the state store is away, a breaker open) or when an
    endpoint, folder or bucket cannot be reached.
    """
    from orchestration.cli.views.health import shown

    raise typer.Exit(shown(as_json, check=check))


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory health --check && promptory optimize support_triage")(health)
