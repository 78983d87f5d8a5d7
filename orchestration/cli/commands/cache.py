"""`promptory cache`: the exact cache of answers."""

from __future__ import annotations

import typer

from orchestration.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="The cache of answers: look at it, empty it.")


@app.command(epilog="Example: promptory cache stats --json")
def stats(as_json: AsJson = False) -> None:
    """Show entries and bytes held, hits and misses so far, and the settings that bound it."""
    from orchestration.cli.views.cache import shown

    shown(as_json)


@app.command(epilog="Example: promptory cache clear")
def clear(as_json: AsJson = False) -> None:
    """Drop every cached answer. Stored results of runs and evaluations stay."""
    from orchestration.cli.views.cache import cleared

    cleared(as_json)
