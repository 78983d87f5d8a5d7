"""`promptory demo`: the whole loop on the sample task."""

from __future__ import annotations

import typer

from orchestration.cli.options import AsJson, Verbose


def demo(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Run the whole loop on a sample task: dataset, prompt, optimization, evaluation, gate, promotion.

    Needs no key and no server. Running it again is fast and pays for nothing.
    """
    from orchestration.cli.views.demo import demonstrated

    demonstrated(as_json, verbose)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory demo --json")(demo)
