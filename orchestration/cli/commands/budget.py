"""`promptory budget`: caps and what is left of them."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Budgets: what is left, caps by hand, frozen windows.")

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="org, day, month, task:<name>, run:<id>, experiment:<id>.")]


@app.command("list", epilog="Example: promptory budget list --json")
def list_budgets(
    everything: Annotated[
        bool, typer.Option("--all", help="Runs and experiments without a cap too, if charged lately.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show per scope its cap, what is spent and left, today, a day's mean over 7 days, and the month's projection."""
    from orchestration.cli.views.budget import listed

    listed(everything, as_json)


@app.command("set", epilog="Example: promptory budget set task:support_triage 2.50")
def set_cap(
    scope: Scope,
    usd: Annotated[str, typer.Argument(metavar="USD", help="The cap; 0 admits nothing.")],
    as_json: AsJson = False,
) -> None:
    """Cap a scope by hand. Binds every process at once, and stays until the settings name another figure."""
    from orchestration.cli.views.budget import capped

    capped(scope, usd, as_json)


@app.command(epilog="Example: promptory budget unset task:support_triage")
def unset(scope: Scope, as_json: AsJson = False) -> None:
    """Lift the cap of a scope."""
    from orchestration.cli.views.budget import lifted

    lifted(scope, as_json)


@app.command(epilog="Example: promptory budget unfreeze day:2026-11-22")
def unfreeze(
    window: Annotated[
        str, typer.Argument(metavar="WINDOW", help="As `budget list` shows it, e.g. day:2026-11-22 or task:<name>.")
    ],
    as_json: AsJson = False,
) -> None:
    """Let a window admit calls again that a bill above its reserve has frozen. Look at that bill first."""
    from orchestration.cli.views.budget import unfrozen

    unfrozen(window, as_json)
