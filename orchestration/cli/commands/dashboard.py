"""`promptory dashboard`: one page over the metric tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import AsJson, Verbose


def dashboard(
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days to show, at most.")] = 30,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write the page (default: in the home folder).")
    ] = None,
    collect: Annotated[
        bool, typer.Option(help="Copy what the ledger has added and rebuild the metric tables first.")
    ] = True,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make the page of costs, scores, latency, cache, fallbacks and budgets; Dagster makes it every hour."""
    from orchestration.cli.views.dashboard import shown

    shown(days, to, collect=collect, open_page=open_page, as_json=as_json, verbose=verbose)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory dashboard --days 90 --open")(dashboard)
