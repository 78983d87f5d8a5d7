"""`promptory cache`: the exact cache of answers."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="The cache of answers: look at it, empty it.")

Namespace = Annotated[str | None, typer.Option(help="Only this namespace; an empty text is the one without a name.")]


@app.command(epilog="Example: promptory cache stats --json")
def stats(namespace: Namespace = None, as_json: AsJson = False) -> None:
    """Show entries and bytes held, hits and misses so far (of all namespaces), and the settings that bound it."""
    from orchestration.cli.views.cache import shown

    shown(namespace, as_json)


@app.command(epilog="Example: promptory cache clear --namespace team_a")
def clear(
    namespace: Namespace = None,
    everything: Annotated[bool, typer.Option("--all", help="The answers of all namespaces.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop cached answers: those of the settings' own namespace, if it has a name, otherwise all.

    Stored results of runs and evaluations stay.
    """
    from orchestration.cli.views.cache import cleared

    cleared(namespace, everything, as_json)
