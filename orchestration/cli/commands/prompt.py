"""`promptory prompt`: versions and aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import AsJson, TaskName

app = typer.Typer(no_args_is_help=True, help="Prompt versions: list, read, compare, promote and roll them back.")

REFERENCE = "A number (3), v3, an alias (production), or the first 6 or more digits of an id."
By = Annotated[
    str | None, typer.Option(help="Who decides, for the history; the user of this machine is kept beside it.")
]


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


@app.command(epilog="Example: promptory prompt compare support_triage v1 production --html comparison.html")
def compare(
    task: TaskName,
    old: Annotated[str, typer.Argument(metavar="A", help=REFERENCE)],
    new: Annotated[str, typer.Argument(metavar="B", help=REFERENCE)],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as one HTML file that needs no network.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="dev or test; test by default where both were shown it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions on the rows both were evaluated on: scores, cost, labels, rows that flipped, texts."""
    from orchestration.cli.views.comparison import compared

    compared(task, old, new, split, html, as_json)


@app.command(epilog='Example: promptory prompt promote support_triage v1 --reason "v4 is rude to customers"')
def promote(
    task: TaskName,
    reference: Annotated[str, typer.Argument(metavar="REF", help=REFERENCE)],
    reason: Annotated[str, typer.Option(help="Why; kept in the alias's history.")],
    alias: Annotated[str, typer.Option(help="The alias to move.")] = "production",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Move an alias by hand, past the gate. The gate then leaves production alone until `prompt release`."""
    from orchestration.cli.views.promotion import promoted

    promoted(task, reference, alias, reason, by, as_json)


@app.command(epilog='Example: promptory prompt rollback support_triage --reason "v5 misroutes refunds"')
def rollback(
    task: TaskName,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the alias's history.")] = None,
    leaving: Annotated[
        str | None, typer.Option("--from", metavar="REF", help="Only if the alias still points at this version.")
    ] = None,
    alias: Annotated[str, typer.Option(help="The alias to move.")] = "production",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Put the version before back into production. The gate then leaves it alone until `prompt release`."""
    from orchestration.cli.views.promotion import rolled_back

    rolled_back(task, alias, reason, leaving, by, as_json)


@app.command(epilog='Example: promptory prompt release support_triage --reason "the label is fixed"')
def release(
    task: TaskName,
    reason: Annotated[str, typer.Option(help="Why; kept in the alias's history.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Let the gate move production again after a move by hand. Production stays where it is."""
    from orchestration.cli.views.promotion import released

    released(task, reason, by, as_json)


@app.command(epilog="Example: promptory prompt history support_triage")
def history(
    task: TaskName,
    alias: Annotated[str, typer.Option(help="The alias to look at.")] = "production",
    as_json: AsJson = False,
) -> None:
    """Show every move of an alias, newest first: who, when, from, to, why, and the gate's decision."""
    from orchestration.cli.views.alias_history import told

    told(task, alias, as_json)
