"""`promptory trace`: from an answer to its rows, and from a row to all it touched."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Lineage: from a call to its rows, from a row to its calls.")


@app.command(epilog="Example: promptory trace call 3f9a1c04b2d7")
def call(
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="A call's id, or its first 6 or more digits.")],
    as_json: AsJson = False,
) -> None:
    """Show what a call rests on: attempts and money, prompt version, optimization run, dataset version, row.

    For an answer from the cache the call that paid for it is shown as well.
    """
    from orchestration.cli.views.trace_call import traced

    traced(call_id, as_json)


@app.command(epilog="Example: promptory trace row support_triage 604c8f68a35d6562")
def row(
    where: Annotated[
        str,
        typer.Argument(metavar="WHERE", help="A task, TASK@v3, or the beginning of a dataset version's id."),
    ],
    row_id: Annotated[str, typer.Argument(metavar="ROW", help="A row's id, or its first 6 or more characters.")],
    as_json: AsJson = False,
) -> None:
    """Show what a row touched: dataset versions and split, evaluations, calls, prompts that show it as an example."""
    from orchestration.cli.views.trace_row import traced

    traced(where, row_id, as_json)
