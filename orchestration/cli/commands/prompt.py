"""`promptory prompt`: versions and aliases."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson, TaskName

app = typer.Typer(no_args_is_help=True, help="Prompt versions: list, read, compare and promote them.")

REFERENCE = "A number (3), v3, an alias (production), or the first 6 or more digits of an id."
Reference = Annotated[str, typer.Argument(help=REFERENCE)]


@app.command("list", epilog="Example: promptory prompt list support_triage")
def list_versions(task: TaskName, as_json: AsJson = False) -> None:
    """List a task's prompt versions, newest first, with aliases and scores on the test split."""
    from orchestration.cli.views.prompts import listed

    listed(task, as_json)


@app.command(epilog="Example: promptory prompt show support_triage production")
def show(
    task: TaskName,
    reference: Annotated[str, typer.Argument(metavar="REF", help=REFERENCE)] = "production",
    as_json: AsJson = False,
) -> None:
    """Show one prompt version in full: text, demonstrations, contract, model, where it came from."""
    from orchestration.cli.views.prompts import shown

    shown(task, reference, as_json)


@app.command(epilog="Example: promptory prompt diff support_triage v1 production")
def diff(
    task: TaskName,
    old: Annotated[str, typer.Argument(metavar="A", help=REFERENCE)],
    new: Annotated[str, typer.Argument(metavar="B", help=REFERENCE)],
    as_json: AsJson = False,
) -> None:
    """Show what changed between two prompt versions, and how each scored."""
    from orchestration.cli.views.prompt_diff import compared

    compared(task, old, new, as_json)


@app.command(epilog='Example: promptory prompt promote support_triage v1 --reason "v4 is rude to customers"')
def promote(
    task: TaskName,
    reference: Annotated[str, typer.Argument(metavar="REF", help=REFERENCE)],
    reason: Annotated[str, typer.Option(help="Why; kept in the alias's history.")],
    alias: Annotated[str, typer.Option(help="The alias to move.")] = "production",
    as_json: AsJson = False,
) -> None:
    """Move an alias by hand, past the gate. Roll back with this: name the earlier version."""
    from orchestration.cli.views.promotion import promoted

    promoted(task, reference, alias, reason, as_json)
