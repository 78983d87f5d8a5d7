"""`promptory call`: one answer."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson, TaskName, Verbose


def call(
    task: TaskName,
    inputs: Annotated[list[str], typer.Option("--input", metavar="FIELD=TEXT", help="One per field of the prompt.")],
    version: Annotated[
        str, typer.Option(help="Prompt version: a number, v3, an alias, or the beginning of an id.")
    ] = "production",
    as_json: AsJson = False,
    verbose: Verbose = False,  # noqa: ARG001 - remembered by its callback
) -> None:
    """Ask a prompt version for one answer, within the same budgets, limits and ledger as everything else."""
    from orchestration.cli.views.call import answer

    answer(task, inputs, version, as_json)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog='Example: promptory call support_triage --input message="My parcel never came."')(call)
